/* What busybox cannot make of files: extended attributes and sockets.
 *
 * usage: files set PATH NAME HEX | get PATH NAME | socket PATH     prints the value in hexadecimal, or "errno N" */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/xattr.h>

int main(int argc, char **argv)
{
	unsigned char value[1024];
	if (argc == 5 && !strcmp(argv[1], "set")) {
		size_t length = 0;
		unsigned byte;
		for (const char *hex = argv[4]; length < sizeof value && sscanf(hex, "%2x", &byte) == 1; hex += 2)
			value[length++] = (unsigned char)byte;
		if (!lsetxattr(argv[2], argv[3], value, length, 0))
			return 0;
	} else if (argc == 4 && !strcmp(argv[1], "get")) {
		ssize_t length = lgetxattr(argv[2], argv[3], value, sizeof value);
		if (length >= 0) {
			for (ssize_t at = 0; at < length; at++)
				printf("%02x", value[at]);
			printf("\n");
			return 0;
		}
	}
	if (argc == 3 && !strcmp(argv[1], "socket")) {
		struct sockaddr_un name = {.sun_family = AF_UNIX};
		strncpy(name.sun_path, argv[2], sizeof name.sun_path - 1);
		if (!bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof name))
			return 0;
	}
	printf("errno %d\n", errno);
	return 1;
}
