package child_test

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/child"
)

func TestChildOutlivesTheThreadThatAskedForIt(t *testing.T) {
	t.Parallel()
	stdin, feed, err := os.Pipe()
	require.NoError(t, err)
	echo, stdout, err := os.Pipe()
	require.NoError(t, err)
	defer feed.Close()
	defer echo.Close()

	var p *child.Process
	started := make(chan int)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		p, err = child.Start(child.Command{Name: "cat", Path: "/bin/cat", Stdin: stdin, Stdout: stdout})
		started <- syscall.Gettid()
	}()
	tid := <-started
	require.NoError(t, err)
	require.NoError(t, stdin.Close())
	require.NoError(t, stdout.Close())
	require.Eventually(t, func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
		return os.IsNotExist(err) || tid == os.Getpid() // the main thread is parked, never ended
	}, 5*time.Second, time.Millisecond)

	_, err = feed.WriteString("still here\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(echo).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "still here\n", line)
	require.NoError(t, feed.Close())
	require.NoError(t, p.Wait())
	require.False(t, p.Requested())
}
