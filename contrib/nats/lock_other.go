//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd || windows)

package eventbusnats

import (
	"errors"
	"fmt"
	"os"
)

// lockFile refuses: without a lock, two servers on one directory would destroy it.
func lockFile(name string) (*os.File, error) {
	return nil, fmt.Errorf("lock %s: %w: this system has no file locks that package syscall offers; use Connect", name, errors.ErrUnsupported)
}
