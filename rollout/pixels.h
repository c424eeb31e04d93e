// Bytes of pictures into floats, fast enough not to show beside the network that reads them. Any thread.
#ifndef MANTA_ROLLOUT_PIXELS_H
#define MANTA_ROLLOUT_PIXELS_H

#include <stdint.h>

// out[i] = bytes[i]
void mt_pixels_plain(int64_t count, const uint8_t *bytes, float *out);

// out[i] = bytes[i]/255, to the bit as a division gives it
void mt_pixels_unit(int64_t count, const uint8_t *bytes, float *out);

// out[i·out_stride + l] = block[l·block_stride + i] for lanes l < 4 and i < pixels
void mt_pixels_interleave(int lanes, int64_t pixels, const float *block, int64_t block_stride, float *out, int64_t out_stride);

#endif
