// SPDX-License-Identifier: Apache-2.0 OR MIT
// A connect4 program of the agent's own that sends every connect to 10.99.0.2:8080: rewrite CGROUP COMMAND...
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BYTES_TO_PORT __builtin_offsetof(struct bpf_sock_addr, user_port)
#define BYTES_TO_ADDRESS __builtin_offsetof(struct bpf_sock_addr, user_ip4)
static char log_text[65536];

int main(int count, char **words) {
    struct bpf_insn code[] = {
        {.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 0x0200630a}, // 10.99.0.2
        {.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 2, .off = BYTES_TO_ADDRESS},
        {.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 0x901f}, // 8080
        {.code = BPF_STX | BPF_MEM | BPF_W, .dst_reg = 1, .src_reg = 2, .off = BYTES_TO_PORT},
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 1},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr load = {.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR, .insns = (uintptr_t)code,
        .insn_cnt = sizeof code / sizeof *code, .license = (uintptr_t)"GPL",
        .expected_attach_type = BPF_CGROUP_INET4_CONNECT, .log_buf = (uintptr_t)log_text,
        .log_size = sizeof log_text, .log_level = 1};
    int program = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (program < 0) return puts(errno == EPERM ? "EPERM" : log_text), 0;
    int cgroup = open(words[1], O_DIRECTORY);
    union bpf_attr attach = {.target_fd = cgroup, .attach_bpf_fd = program,
        .attach_type = BPF_CGROUP_INET4_CONNECT, .attach_flags = BPF_F_ALLOW_MULTI};
    if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach)) return puts(strerror(errno)), 0;
    // Goes away with the cgroup; until then a second one changes nothing.
    execv(words[2], words + 2);
    return 1;
}
