// SPDX-License-Identifier: Apache-2.0 OR MIT
// Ways to become another process, each ending in one connect: steps HOW [FOLDER OF A CGROUP TO LEAVE FOR].
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *outside = "";
static int main_pid;

static void leave(void) {
    char path[4096];
    if (!*outside || geteuid()) return;
    snprintf(path, sizeof path, "%s/cgroup.procs", outside);
    FILE *file = fopen(path, "w");
    if (!file || fprintf(file, "%d", getpid()) < 0 || fclose(file)) perror("leave");
}

static void out(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(8080)};
    struct timeval limit = {.tv_usec = 300000};
    char byte;
    inet_pton(AF_INET, "10.99.0.2", &to.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (void *)&to, sizeof to)) { perror("connect"); return; }
    send(fd, "ENFORCER-MARKER", 15, MSG_NOSIGNAL);
    shutdown(fd, SHUT_WR);
    recv(fd, &byte, 1, 0);
}

static void *late(void *unused) {
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", main_pid);
    for (;;) { // Until the first thread is a zombie.
        FILE *file = fopen(path, "r");
        if (!file) break;
        char *read = fgets(line, sizeof line, file);
        fclose(file);
        char *end = read ? strrchr(line, ')') : NULL;
        if (!end || end[2] == 'Z') break;
        sched_yield();
    }
    leave();
    out();
    exit(0);
}

static void *executing(void *self) {
    leave();
    execl(self, self, "out", NULL);
    exit(1);
}

int main(int count, char **words) {
    const char *how = words[1];
    if (count > 2) outside = words[2];
    main_pid = getpid();
    pthread_t thread;
    if (!strcmp(how, "out")) out();
    if (!strcmp(how, "vfork")) {
        leave();
        pid_t child = vfork();
        if (child == 0) { execl(words[0], words[0], "out", NULL); _exit(1); }
        waitpid(child, NULL, 0);
    }
    if (!strcmp(how, "clone3")) {
        struct clone_args args = {.exit_signal = SIGCHLD};
        if (*outside && !geteuid()) {
            args.flags = CLONE_INTO_CGROUP;
            args.cgroup = open(outside, O_PATH | O_DIRECTORY);
        }
        pid_t child = syscall(SYS_clone3, &args, sizeof args);
        if (child < 0) perror("clone3");
        if (child == 0) { out(); _exit(0); }
        waitpid(child, NULL, 0);
    }
    if (!strcmp(how, "parent")) {
        int ends[2];
        char byte;
        if (pipe(ends)) return 1;
        struct clone_args args = {.flags = CLONE_PARENT};
        pid_t child = syscall(SYS_clone3, &args, sizeof args);
        if (child < 0) perror("clone3");
        if (child == 0) { close(ends[0]); leave(); out(); _exit(0); }
        close(ends[1]);
        if (read(ends[0], &byte, 1) < 0) return 1; // Its end of the pipe goes with it.
    }
    if (!strcmp(how, "thread")) {
        pthread_create(&thread, NULL, late, NULL);
        pthread_exit(NULL);
    }
    if (!strcmp(how, "exec")) {
        pthread_create(&thread, NULL, executing, words[0]);
        pthread_join(thread, NULL);
    }
    return 0;
}
