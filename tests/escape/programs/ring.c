// SPDX-License-Identifier: Apache-2.0 OR MIT
// One connection or datagram by io_uring: ring HOW POLL, with a kernel thread that polls where POLL is 1.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define MARKER "ENFORCER-MARKER"
static struct io_uring_params params;
static int ring;
static char *sq, *cq;
static struct io_uring_sqe *entries;

static void set_up(int polls) {
    if (polls) { params.flags = IORING_SETUP_SQPOLL; params.sq_thread_idle = 2000; }
    ring = syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0) { puts(errno == EPERM ? "EPERM" : "ENOSYS"); exit(0); }
    size_t size = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe) + 4096;
    int protection = PROT_READ | PROT_WRITE;
    sq = cq = mmap(NULL, size, protection, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQ_RING);
    entries = mmap(NULL, 4096, protection, MAP_SHARED | MAP_POPULATE, ring, IORING_OFF_SQES);
}

// Submits one entry and returns its result.
static int submit(struct io_uring_sqe entry) {
    unsigned *tail = (void *)(sq + params.sq_off.tail), mask = *(unsigned *)(sq + params.sq_off.ring_mask);
    unsigned *head = (void *)(cq + params.cq_off.head), *end = (void *)(cq + params.cq_off.tail);
    unsigned *array = (void *)(sq + params.sq_off.array), at = *tail & mask, first = *head;
    entries[at] = entry;
    array[at] = at;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_SEQ_CST);
    unsigned flags = IORING_ENTER_GETEVENTS;
    if (params.flags & IORING_SETUP_SQPOLL) flags |= IORING_ENTER_SQ_WAKEUP;
    while (__atomic_load_n(end, __ATOMIC_SEQ_CST) == first)
        if (syscall(SYS_io_uring_enter, ring, 1, 1, flags, NULL, 0) < 0 && errno != EINTR) return -errno;
    struct io_uring_cqe *results = (void *)(cq + params.cq_off.cqes);
    int result = results[first & *(unsigned *)(cq + params.cq_off.ring_mask)].res;
    __atomic_store_n(head, first + 1, __ATOMIC_SEQ_CST);
    return result;
}

static int made(int type, int protocol) {
    return submit((struct io_uring_sqe){.opcode = IORING_OP_SOCKET, .fd = AF_INET, .off = type, .len = protocol});
}

int main(int count, char **words) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(8080)};
    struct iovec text = {MARKER, 15};
    struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &text, .msg_iovlen = 1};
    const char *how = words[1];
    struct timeval limit = {.tv_usec = 300000};
    int one = 1, patience = 300, fd;
    char byte;
    inet_pton(AF_INET, "10.99.0.2", &to.sin_addr);
    set_up(atoi(words[2]));
    if (!strcmp(how, "connect") || !strcmp(how, "socket") || !strcmp(how, "mptcp")) {
        int protocol = !strcmp(how, "mptcp") ? 262 : 0;
        fd = !strcmp(how, "connect") ? socket(AF_INET, SOCK_STREAM, 0) : made(SOCK_STREAM, protocol);
        if (fd < 0) return printf("socket %d\n", fd), 0;
        setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        int result = submit((struct io_uring_sqe){
            .opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&to, .off = sizeof to});
        if (result < 0) return printf("connect %d\n", result), 0;
        submit((struct io_uring_sqe){
            .opcode = IORING_OP_SEND, .fd = fd, .addr = (uintptr_t)MARKER, .len = 15, .msg_flags = MSG_NOSIGNAL});
        shutdown(fd, SHUT_WR);
        recv(fd, &byte, 1, 0);
    }
    if (!strcmp(how, "fastopen")) {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(fd, IPPROTO_TCP, 34, &one, sizeof one);
        printf("%d\n", submit((struct io_uring_sqe){.opcode = IORING_OP_SENDMSG, .fd = fd,
            .addr = (uintptr_t)&message, .len = 1, .msg_flags = MSG_FASTOPEN | MSG_NOSIGNAL}));
    }
    if (!strcmp(how, "datagram")) {
        fd = made(SOCK_DGRAM, 0);
        printf("%d\n", submit((struct io_uring_sqe){
            .opcode = IORING_OP_SENDMSG, .fd = fd, .addr = (uintptr_t)&message, .len = 1}));
    }
    if (!strcmp(how, "connected")) {
        fd = made(SOCK_DGRAM, 0);
        int result = submit((struct io_uring_sqe){
            .opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&to, .off = sizeof to});
        if (result < 0) return printf("connect %d\n", result), 0;
        printf("%d\n", submit((struct io_uring_sqe){
            .opcode = IORING_OP_SEND, .fd = fd, .addr = (uintptr_t)MARKER, .len = 15}));
    }
    if (!strcmp(how, "join")) {
        struct { struct in_addr group, own; } join;
        inet_pton(AF_INET, "239.78.70.79", &join.group);
        inet_pton(AF_INET, "10.99.0.1", &join.own);
        fd = made(SOCK_DGRAM, 0);
        struct io_uring_sqe entry = {.opcode = IORING_OP_URING_CMD, .fd = fd, .cmd_op = 3};
        // `level`, `optname`, `optlen` and `optval` of newer headers.
        ((uint32_t *)&entry)[4] = IPPROTO_IP;
        ((uint32_t *)&entry)[5] = 35;
        ((uint32_t *)&entry)[11] = sizeof join;
        ((uint64_t *)&entry)[6] = (uintptr_t)&join;
        printf("%d\n", submit(entry));
    }
    return 0;
}
