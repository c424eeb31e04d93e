// The job's side of manta status: a thread on rank 0 that listens on a socket only this user can reach (status_socket.h), and
// rewrites the metrics file where one is wanted. Without both it is not started; with the socket alone it sleeps until
// somebody asks.
//
// What comes in is hostile: one request at a time, at most 64 bytes within 2 s, from this user or root, answered within 5 s or dropped.
#ifndef MANTA_ENGINE_RUNTIME_STATUS_SERVER_H
#define MANTA_ENGINE_RUNTIME_STATUS_SERVER_H

#include <stdint.h>
#include "engine/base/status.h"

typedef struct mt_node mt_node;
typedef struct mt_status_server mt_status_server;

typedef struct mt_status_server_desc {
    mt_node *node;               // borrowed: rank 0's
    int socket;                  // 0: no socket
    const char *metrics_file;    // Nullable: Prometheus's text format, for node_exporter's textfile collector
    int64_t metrics_ns;          // between two rewrites; 0: 5 s
    int64_t answer_ns;           // how long ranks have to answer; 0: 2 s
} mt_status_server_desc;

mt_status mt_status_server_create(const mt_status_server_desc *desc, mt_status_server **out);
const char *mt_status_server_path(const mt_status_server *server);   // of its socket; "" when it has none
void mt_status_server_destroy(mt_status_server *server);   // Nullable. Before the node's end; the socket and the metrics file go

#endif
