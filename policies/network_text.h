// Layers written down as text, one a line (or separated by semicolons), for `policy_kwargs: {layers: …}`:
//
//     image = input board                      # an input of the observation by its name
//     conv2d 32 8 stride 4 relu                # units, kernel; stride 1 and padding 0 unless said
//     skip = conv2d 32 3 padding 1
//     conv2d 32 3 padding 1 relu
//     add from skip, -1                        # -1 is the line before, -2 the one before that
//     max_pool2d 3 stride 2 padding 1
//     flatten
//     dense 256 relu
//     layer_norm tanh
//     concat from speed, -1
//     embedding 16    lstm 128    gru 128    relu    (and the other activations)
//     my_layer 32 0.5                          # of a plugin, with its own numbers
//
// A line reads the line before it unless it says `from`. The first line may leave out `input` where there is one. Tensors are
// named PREFIX and the line's name, or its number from 0.
#ifndef MANTA_POLICIES_NETWORK_TEXT_H
#define MANTA_POLICIES_NETWORK_TEXT_H

#include "policies/network.h"
#include "policies/policy_registry.h"

// A text, and where it stands for messages: "layers, line 3", or "FILE:12: layers".
typedef struct mt_network_text {
    const char *layers;
    const char *file;   // Nullable: none
    int file_line;      // where its key stands, from 1: a text of several lines begins below it
} mt_network_text;

// Appends the layers to desc. inputs (input_count): what there is to read; with none, `width` floats of a vector. MT_CONFIG with
// the line and what is wrong with it (did you mean). Nullable: plugins, whose layers may be used.
mt_status mt_network_text_add(mt_network_desc *desc, const mt_network_text *text, const mt_input *inputs, int input_count, int width,
    const char *prefix, const mt_policy_registry *plugins);

// Whether the language has this word itself: a layer, an activation or a keyword.
int mt_network_text_knows(const char *word);

#endif
