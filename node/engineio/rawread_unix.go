//go:build unix

package engineio

import (
	"errors"
	"syscall"
)

// rawReads: a connection can be waited on without a buffer.
const rawReads = true

// rawRead reads without waiting. again: there is nothing to read now.
func rawRead(fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		}
		return n, false, err
	}
}
