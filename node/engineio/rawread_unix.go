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
	return raw(syscall.Read, fd, p)
}

// rawWrite writes without waiting. again: the connection takes nothing now.
func rawWrite(fd uintptr, p []byte) (n int, again bool, err error) {
	return raw(syscall.Write, fd, p)
}

func raw(call func(int, []byte) (int, error), fd uintptr, p []byte) (n int, again bool, err error) {
	for {
		n, err = call(int(fd), p)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			return 0, true, nil
		case err != nil:
			return 0, false, err
		}
		return n, false, nil
	}
}
