// A saved run's policy for other programs: as an ONNX model, or as the weights that PyTorch loads under strict names.
#ifndef MANTA_SCHEDULER_EXPORT_H
#define MANTA_SCHEDULER_EXPORT_H

#include "scheduler/saved_run.h"

// Writes the model (policies/onnx.h), with the run's normaliser and the environment's bounds and masks in it. Replaces `path`
// atomically. MT_UNSUPPORTED: a policy that ONNX has no operators for.
mt_status mt_export_onnx(const mt_saved_run *run, const char *path);

// Writes what model.policy.state_dict() of Stable-Baselines3 holds (policies/state_dict.h): without the normaliser's moments.
mt_status mt_export_state_dict(const mt_saved_run *run, const char *path);

#endif
