/* A wall clock that is ahead of the machine's by as many microseconds as the
 * file $SALLYPORT_TEST_CLOCK says, at any moment. Preloaded into a server it makes
 * the clock of that server's machine jump. It asks the kernel itself and never
 * allocates: allocators look at the clock before anything else is ready. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead; /* NULL until the file is there */

__attribute__((constructor)) static void find_clock(void)
{
	const char *path = getenv("SALLYPORT_TEST_CLOCK");
	int file = path ? open(path, O_RDONLY) : -1;
	if (file < 0)
		return;
	void *page = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
	if (page != MAP_FAILED)
		ahead = page;
	close(file);
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
	long result = syscall(SYS_clock_gettime, clock, at);
	if (result != 0 || ahead == NULL || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
		return (int)result;
	int64_t more = *ahead;
	at->tv_sec += more / 1000000;
	at->tv_nsec += more % 1000000 * 1000;
	if (at->tv_nsec >= 1000000000) {
		at->tv_sec++;
		at->tv_nsec -= 1000000000;
	} else if (at->tv_nsec < 0) {
		at->tv_sec--;
		at->tv_nsec += 1000000000;
	}
	return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return -1;
	at->tv_sec = now.tv_sec;
	at->tv_usec = now.tv_nsec / 1000;
	return 0;
}

time_t time(time_t *at)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (at != NULL)
		*at = now.tv_sec;
	return now.tv_sec;
}
