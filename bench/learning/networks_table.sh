# shellcheck shell=bash
# The tasks of networks.sh and their verdicts, for it and for the page that run.sh writes. Sourced from the root of the tree.
networks_results=bench/learning/results-networks.csv

# environment, policy, a score, whether every seed reaches it or none does, options beyond the preset
tasks() {
    cat <<'END'
CartPoleNoVel-v1 MlpPolicy 475 none
CartPoleNoVel-v1 MlpLstmPolicy 475 most
CartPoleNoVel-v1 MlpGruPolicy 475 most
MemoryChain-v0 MlpPolicy 0.9 none --net-arch [64,64]
MemoryChain-v0 MlpLstmPolicy 0.9 most
MemoryChain-v0 MlpGruPolicy 0.9 most
Catch-v0 CnnPolicy 0.9 most
CatchOrDodge-v0 MultiInputPolicy 0.9 most
END
}

# one line a task: env, policy, steps, expected, each seed's score, verdict. "most": the mean over the seeds and four of five
networks_judge() {
    tasks | awk -F '[ ,]' -v OFS='|' '
        NR == FNR { order[++n] = $1 " " $2; goal[$1 " " $2] = $3; rule[$1 " " $2] = $4; next }
        ($1 " " $2) in goal {
            t = $1 " " $2
            count[t]++; reached[t] += $6 >= goal[t]; steps[t] = $5
            each[t] = each[t] (each[t] == "" ? "" : ", ") sprintf($6 >= 10 ? "%.1f" : "%.2f", $6)
        }
        END {
            for (i = 1; i <= n; i++) {
                t = order[i]
                if (!count[t]) continue
                pass = rule[t] == "none" ? reached[t] == 0 : reached[t] >= 0.8 * count[t]
                split(t, name, " ")
                want = rule[t] == "none" ? "no seed reaches " goal[t] : "4 of 5 reach " goal[t]
                print name[1], name[2], steps[t], want, each[t], pass ? "yes" : "no"
            }
        }' - "$networks_results"
}
