package blob

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// syncFileRangeWrite is SYNC_FILE_RANGE_WRITE of sync_file_range(2): begin to write the dirty pages out, wait for nothing.
const syncFileRangeWrite = 2

// startWriteOut tells the kernel to begin writing a part of the file to the disk. It is a hint: durability still comes from
// the fsync at the end, which also reports any fault met on the way. File systems that lack it are let off.
func startWriteOut(f *os.File, offset, length int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("reach the descriptor: %w", err)
	}
	var sync error
	if err := conn.Control(func(fd uintptr) { sync = syscall.SyncFileRange(int(fd), offset, length, syncFileRangeWrite) }); err != nil {
		return fmt.Errorf("reach the descriptor: %w", err)
	}
	for _, lacking := range []error{syscall.ENOSYS, syscall.EINVAL, syscall.ESPIPE, syscall.EOPNOTSUPP} {
		if errors.Is(sync, lacking) {
			return nil
		}
	}
	return sync
}
