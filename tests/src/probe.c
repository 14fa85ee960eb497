/* What a hostile program in a container tries by system call: the attack tests run it inside. Each attempt that gets somewhere prints a line
 * "reached WHAT"; refused ones are silent. Compiled statically by tests/src/probe.rs. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static void reached(const char *what) { printf("reached %s\n", what); fflush(stdout); }

/* addkey NAME SECRET PROGRAM...: the caller of the launcher, with a secret in its session keyring. */
static int addkey(char **argv) {
    if (syscall(SYS_keyctl, 1 /* JOIN_SESSION_KEYRING */, "caller") < 0) { perror("join"); return 99; }
    for (int ring = -3; ring >= -4; ring--)
        if (syscall(SYS_add_key, "user", argv[0], argv[1], strlen(argv[1]), ring) < 0) { perror("add_key"); return 99; }
    execv(argv[2], argv + 2);
    perror(argv[2]);
    return 99;
}

/* keys NAME: is a key of the caller reachable through any of the keyrings, or by its number? */
static int keys(char **argv) {
    char data[256];
    for (int ring = -8; ring <= -1; ring++) {
        long key = syscall(SYS_keyctl, 10 /* SEARCH */, ring, "user", argv[0], 0);
        if (key > 0) { printf("reached key by ring %d\n", ring); }
        if (key > 0 && syscall(SYS_keyctl, 11 /* READ */, key, data, sizeof data) > 0) reached("the secret");
    }
    if (syscall(SYS_request_key, "user", argv[0], NULL, 0) > 0) reached("key by request");
    return 0;
}

/* readkey NUMBER: by the number that the caller knows. */
static int readkey(char **argv) {
    char data[256];
    long key = strtol(argv[0], NULL, 10);
    if (syscall(SYS_keyctl, 11, key, data, sizeof data) > 0) reached("the secret by its number");
    if (syscall(SYS_keyctl, 8 /* LINK */, key, -2) >= 0) reached("a link to the key");
    if (syscall(SYS_keyctl, 3 /* REVOKE */, key) >= 0) reached("revoke");
    return 0;
}

/* trace PID: every way into another process that the kernel has. */
static int trace(char **argv) {
    pid_t pid = atoi(argv[0]);
    char path[64], byte[8];
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) { reached("seize"); ptrace(PTRACE_DETACH, pid, 0, 0); }
    if (ptrace(PTRACE_ATTACH, pid, 0, 0) == 0) { reached("attach"); waitpid(pid, NULL, __WALL); ptrace(PTRACE_DETACH, pid, 0, 0); }
    struct iovec own = {byte, sizeof byte}, other = {(void *)0x400000, sizeof byte};
    if (process_vm_readv(pid, &own, 1, &other, 1, 0) > 0 || errno == EFAULT) reached("process_vm_readv");
    if (process_vm_writev(pid, &own, 1, &other, 1, 0) > 0 || errno == EFAULT) reached("process_vm_writev");
    if (syscall(SYS_kcmp, getpid(), pid, 2 /* VM */, 0, 0) >= 0) reached("kcmp");
    int pidfd = syscall(SYS_pidfd_open, pid, 0);
    for (int n = 0; pidfd >= 0 && n < 64; n++) {
        int got = syscall(SYS_pidfd_getfd, pidfd, n, 0);
        if (got >= 0) { printf("reached descriptor %d\n", n); close(got); }
    }
    const char *files[] = {"mem", "environ", "maps", "smaps", "auxv", "syscall", "stack", "personality", "io", "timers", "map_files", "fdinfo", "fd", NULL};
    for (int n = 0; files[n]; n++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[n]);
        int fd = open(path, O_RDONLY);
        if (fd >= 0) {
            struct stat st;
            fstat(fd, &st);
            /* Some open and refuse each read; a directory may be listed by root of the same ids, what counts is what its entries give. */
            if (!S_ISDIR(st.st_mode) && pread(fd, byte, 1, 0) > 0) printf("reached %s\n", files[n]);
            DIR *list = S_ISDIR(st.st_mode) ? fdopendir(dup(fd)) : NULL;
            for (struct dirent *entry; list && (entry = readdir(list));)
                if (entry->d_name[0] != '.' && (readlinkat(fd, entry->d_name, path, sizeof path) > 0 || openat(fd, entry->d_name, O_RDONLY) >= 0))
                    printf("reached %s/%s\n", files[n], entry->d_name);
            close(fd);
        }
    }
    const char *links[] = {"exe", "root", "cwd", NULL};
    for (int n = 0; links[n]; n++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, links[n]);
        if (open(path, O_PATH) >= 0) printf("reached %s\n", links[n]);
    }
    const char *spaces[] = {"mnt", "pid", "net", "ipc", "uts", "user", "cgroup", NULL};
    for (int n = 0; spaces[n]; n++) {
        snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, spaces[n]);
        int fd = open(path, O_RDONLY);
        if (fd >= 0 && setns(fd, 0) == 0) printf("reached namespace %s\n", spaces[n]);
    }
    return 0;
}

/* unlock PID: takes descriptors out of a process and releases every lock on them. */
static int release(char **argv) {
    int pidfd = syscall(SYS_pidfd_open, atoi(argv[0]), 0);
    for (int n = 0; pidfd >= 0 && n < 64; n++) {
        int got = syscall(SYS_pidfd_getfd, pidfd, n, 0);
        struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
        if (got < 0) continue;
        printf("reached descriptor %d\n", n);
        if (fcntl(got, F_OFD_SETLK, &all) == 0) printf("reached unlock %d\n", n);
        ftruncate(got, 0);
    }
    return 0;
}

/* signals PID: every signal, three times. */
static int signals(char **argv) {
    pid_t pid = atoi(argv[0]);
    for (int round = 0; round < 3; round++)
        for (int n = 1; n <= 64; n++)
            if (n != SIGSTOP && n != SIGKILL) kill(pid, n);
    kill(pid, SIGSTOP);
    kill(pid, SIGKILL);
    usleep(200000);
    return 0;
}

static int child(void *arg) { (void)arg; return 0; }

/* spaces: new namespaces, by every call that makes them. */
static int spaces(char **argv) {
    static const struct { const char *name; unsigned long flag; } all[] = {
        {"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS}, {"pid", CLONE_NEWPID}, {"net", CLONE_NEWNET}, {"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}};
    static char stack[65536];
    (void)argv;
    for (unsigned n = 0; n < sizeof all / sizeof *all; n++) {
        pid_t pid = fork();
        if (pid == 0) {
            if (unshare(all[n].flag) == 0) printf("reached unshare %s\n", all[n].name);
            fflush(stdout);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
        pid = clone(child, stack + sizeof stack, all[n].flag | SIGCHLD, NULL);
        if (pid > 0) { printf("reached clone %s\n", all[n].name); waitpid(pid, NULL, 0); }
        struct { uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls; } arguments = {.flags = all[n].flag, .exit_signal = SIGCHLD};
        fflush(stdout);
        pid = syscall(SYS_clone3, &arguments, sizeof arguments);
        if (pid == 0) _exit(0);
        if (pid > 0) { printf("reached clone3 %s\n", all[n].name); waitpid(pid, NULL, 0); }
        fflush(stdout);
    }
    return 0;
}

/* handle PATH: the root inode of the file system that PATH is on, by its handle ("Shocker"), and the host's /etc/shadow below it. */
static int handle(char **argv) {
    struct { struct file_handle head; unsigned char bytes[128]; } file = {.head = {.handle_bytes = 128}};
    int mount_id, at = open(argv[0], O_RDONLY);
    if (name_to_handle_at(AT_FDCWD, argv[0], &file.head, &mount_id, 0) < 0) return 0;
    if (open_by_handle_at(at, &file.head, O_RDONLY) >= 0) reached("its own handle");
    /* ext4, xfs: the inode's number, then its generation. Inode 2 is ext4's root. */
    memset(file.bytes, 0, sizeof file.bytes);
    file.bytes[0] = 2;
    int root = open_by_handle_at(at, &file.head, O_RDONLY | O_DIRECTORY);
    if (root >= 0) reached("the root of the file system");
    if (root >= 0 && openat(root, "etc/shadow", O_RDONLY) >= 0) reached("/etc/shadow");
    return 0;
}

/* fds: what is open, but 0, 1, 2. */
static int fds(char **argv) {
    (void)argv;
    for (int n = 3; n < 4096; n++)
        if (fcntl(n, F_GETFD) >= 0) printf("reached descriptor %d\n", n);
    return 0;
}

/* unmask: mounts of its own over or instead of what the launcher has mounted. */
static int unmask(char **argv) {
    (void)argv;
    if (umount2("/proc/kcore", MNT_DETACH) == 0) reached("umount /proc/kcore");
    if (umount2("/proc/sys", MNT_DETACH) == 0) reached("umount /proc/sys");
    if (mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL) == 0) reached("remount /proc/sys");
    mkdir("/tmp/p", 0700);
    if (mount("p", "/tmp/p", "proc", 0, NULL) == 0) reached("a second /proc");
    if (mount("p", "/tmp/p", "sysfs", 0, NULL) == 0) reached("a second /sys");
    if (mount("p", "/tmp/p", "cgroup2", 0, NULL) == 0) reached("a second control group tree");
    if (mount("/proc", "/tmp/p", NULL, MS_BIND, NULL) == 0) reached("a bind of /proc without what is on it");
    if (syscall(SYS_open_tree, AT_FDCWD, "/proc", 1 /* OPEN_TREE_CLONE */) >= 0) reached("a clone of /proc without what is on it");
    return 0;
}

/* types: puts a character into the input of every terminal that is open or can be opened, or becomes its controlling process. */
static int types(char **argv) {
    (void)argv;
    int streams[] = {0, 1, 2, open("/dev/tty", O_RDWR | O_NOCTTY), open("/dev/console", O_RDWR | O_NOCTTY)};
    char character = 'X', linux_paste[2] = {3, 'X'};
    for (unsigned n = 0; n < sizeof streams / sizeof *streams; n++)
        for (int high = 0; high < 2; high++) {
            /* The kernel looks at the lower half of the number alone. */
            unsigned long upper = high ? 1ul << 32 : 0;
            if (syscall(SYS_ioctl, streams[n], 0x5412 | upper, &character) == 0) printf("reached input of %u%s\n", n, high ? " by a large number" : "");
            if (syscall(SYS_ioctl, streams[n], 0x541c | upper, linux_paste) == 0) printf("reached the console by %u\n", n);
            if (syscall(SYS_ioctl, streams[n], 0x540e | upper, 1) == 0 && n < 3) printf("reached control of %u\n", n);
        }
    printf("done\n");
    return 0;
}

int main(int argc, char **argv) {
    static const struct { const char *name; int arguments; int (*run)(char **); } all[] = {
        {"addkey", 3, addkey}, {"keys", 1, keys}, {"readkey", 1, readkey}, {"trace", 1, trace}, {"unlock", 1, release}, {"signals", 1, signals},
        {"spaces", 0, spaces}, {"handle", 1, handle}, {"fds", 0, fds}, {"unmask", 0, unmask}, {"types", 0, types}};
    for (unsigned n = 0; argc > 1 && n < sizeof all / sizeof *all; n++)
        if (!strcmp(argv[1], all[n].name) && argc - 2 >= all[n].arguments) return all[n].run(argv + 2);
    fprintf(stderr, "probe: %s?\n", argc > 1 ? argv[1] : "");
    return 98;
}
