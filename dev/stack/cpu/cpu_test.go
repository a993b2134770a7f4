package cpu_test

import (
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pdexbulk/dev/stack/cpu"
)

func TestUsed(t *testing.T) {
	t.Parallel()
	before, err := cpu.Used()
	require.NoError(t, err)
	for sum, from := 0, time.Now(); time.Since(from) < 50*time.Millisecond; sum++ {
	}
	after, err := cpu.Used()
	require.NoError(t, err)
	require.Greater(t, after, before)

	busy := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	require.NoError(t, busy.Start())
	t.Cleanup(func() {
		_ = busy.Process.Kill()
		_ = busy.Wait()
	})
	require.Eventually(t, func() bool {
		own, err := cpu.Used()
		require.NoError(t, err)
		both, err := cpu.Used(busy.Process.Pid)
		require.NoError(t, err)
		return both-own >= 30*time.Millisecond
	}, 30*time.Second, 10*time.Millisecond)

	gone := exec.CommandContext(t.Context(), "true")
	require.NoError(t, gone.Run())
	_, err = cpu.Used(gone.Process.Pid)
	require.NoError(t, err)
}
