/* An agent of seccomp filters (seccomp_unotify(2)): listens at a socket, gets the listener of a filter, answers its calls.
 *
 * usage: agent SOCKET ANSWER[:NUMBER]...   ANSWER is an errno, or "go" (the call goes on); without NUMBER for all other calls
 *        agent SOCKET deaf                 listens and accepts nothing
 *        agent SOCKET mute                 takes the listener and answers nothing
 * prints "ready", the message, and a line "call NUMBER" for each call that is passed on, once for each number */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct data { int nr; uint32_t arch; uint64_t ip; uint64_t args[6]; };
struct notif { uint64_t id; uint32_t pid; uint32_t flags; struct data data; };
struct resp { uint64_t id; int64_t val; int32_t error; uint32_t flags; };
#define RECV _IOWR('!', 0, struct notif)
#define SEND _IOWR('!', 1, struct resp)

static int listener(int connection)
{
	static char text[65536];
	union { struct cmsghdr header; char room[CMSG_SPACE(sizeof(int))]; } control;
	struct iovec part = {text, sizeof text - 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	ssize_t length = recvmsg(connection, &message, 0);
	struct cmsghdr *first = CMSG_FIRSTHDR(&message);
	if (length <= 0 || !first || first->cmsg_type != SCM_RIGHTS)
		return -1;
	int fd;
	memcpy(&fd, CMSG_DATA(first), sizeof fd);
	for (ssize_t more; (more = recv(connection, text + length, sizeof text - 1 - length, 0)) > 0;)
		length += more;
	printf("%s\n", text);
	return fd;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	setvbuf(stdout, NULL, _IOLBF, 0);
	strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
	int deaf = !strcmp(argv[2], "deaf");
	int server = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(server, (void *)&address, sizeof address) || listen(server, deaf ? 0 : 8))
		return perror(argv[1]), 1;
	if (deaf) {
		/* One is taken by the queue, the next one waits. */
		int filler = socket(AF_UNIX, SOCK_STREAM, 0);
		if (connect(filler, (void *)&address, sizeof address))
			return perror("connect"), 1;
	}
	puts("ready");
	if (deaf)
		for (;;) pause();
	for (;;) {
		static char seen[4096];
		int connection = accept(server, NULL, NULL);
		int fd = listener(connection);
		close(connection);
		if (fd < 0)
			continue;
		if (!strcmp(argv[2], "mute"))
			for (;;) pause();
		if (fork())
			{ close(fd); continue; }
		for (;;) {
			struct notif call = {0};
			/* Nobody has the filter any more: the kernel says "no such call" for ever. */
			struct pollfd wait = {.fd = fd, .events = POLLIN};
			if (poll(&wait, 1, -1) > 0 && !(wait.revents & POLLIN))
				return 0;
			if (ioctl(fd, RECV, &call)) {
				if (errno == EINTR || errno == ENOENT)
					continue;
				return 0;
			}
			if (call.data.nr >= 0 && call.data.nr < 4096 && !seen[call.data.nr]++)
				printf("call %d\n", call.data.nr);
			const char *answer = "go";
			for (int i = 2; i < argc; i++) {
				char *number = strchr(argv[i], ':');
				if (!number || atoi(number + 1) == call.data.nr) {
					answer = argv[i];
					if (number)
						break;
				}
			}
			struct resp resp = {.id = call.id};
			if (answer[0] == 'g')
				resp.flags = 1;
			else
				resp.error = -atoi(answer);
			ioctl(fd, SEND, &resp);
		}
	}
}
