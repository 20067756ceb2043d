//go:build !unix

package engineio

import "errors"

// rawReads: a connection can be waited on without a buffer.
const rawReads = false

func rawRead(uintptr, []byte) (n int, again bool, err error) { return 0, false, errors.ErrUnsupported }

func rawWrite(uintptr, []byte) (n int, again bool, err error) { return 0, false, errors.ErrUnsupported }
