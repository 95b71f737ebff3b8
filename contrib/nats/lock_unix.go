//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package eventbusnats

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile opens a file that nobody else has locked, and locks it until it is closed.
func lockFile(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%w: another node has locked %s", ErrDirInUse, name)
		} else {
			err = fmt.Errorf("lock %s: %w", name, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
