// TensorBoard event files: one file per process start, `events.out.tfevents.<unix time>.<host>.<pid>.0`.
//
// Format: TFRecord framing (length, masked CRC32C of the length, data, masked CRC32C of the data) round protobuf
// `Event` messages; the first is file_version "brain.Event:2"; every row is one Event with a Summary of simple_values.
// A resumed run gets a new file in the same folder that opens with a SessionLog START event at the checkpoint's step +
// 1: TensorBoard then drops the points of the older files from there on, so that every step is shown once. Its name
// sorts after theirs whatever the clock says, because TensorBoard reads the files in the order of their names.
#ifndef MANTA_SCHEDULER_REPORT_TENSORBOARD_H
#define MANTA_SCHEDULER_REPORT_TENSORBOARD_H

#include "scheduler/report/metrics.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mt_tensorboard mt_tensorboard;

// Creates `folder` (and its parents) when it is missing, and a new event file in it.
// resume_step: steps of the checkpoint this run continues, or -1 for a fresh run. MT_IO, MT_NO_MEMORY.
mt_status mt_tensorboard_open(const char *folder, int64_t resume_step, mt_tensorboard **out);

// Writes and flushes one Event with the row's metrics that are present (time/total_timesteps gives the step and is not
// itself a curve). wall_time: unix seconds. A row with nothing present writes nothing. MT_IO: nothing of it was
// written.
mt_status mt_tensorboard_write(mt_tensorboard *board, const mt_metrics_row *row, double wall_time);

const char *mt_tensorboard_path(const mt_tensorboard *board);   // of the event file

mt_status mt_tensorboard_close(mt_tensorboard *board);   // Nullable

// CRC32C (Castagnoli) of bytes, and TFRecord's masked form of it; for tests and readers.
uint32_t mt_crc32c(const void *data, size_t bytes);
uint32_t mt_crc32c_masked(const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
