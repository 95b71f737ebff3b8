package journal

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A reader that follows a file looks again at what seems to be damage: a writer that is opened
// anew may be about to write over a torn tail. What stays damaged is told.
func TestFollowLooksAgainAtDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "day.journal")
	j, err := Open(path)
	require.NoError(t, err)
	require.NoError(t, j.Close())
	for name, c := range map[string]struct {
		bad     int // so often the block seems damaged
		damaged bool
	}{"it passes": {2, false}, "it stays": {1000, true}} {
		t.Run(name, func(t *testing.T) {
			r, err := openReader(path, func(b []byte) (line, error) {
				if c.bad--; c.bad >= 0 {
					return line{}, errors.New("half of it is old")
				}
				return parseLine(b)
			})
			require.NoError(t, err)
			defer r.close()
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			defer cancel()
			l, err := readConfig{follow: ctx}.next(r)
			if c.damaged {
				var damage *DamageError
				require.ErrorAs(t, err, &damage)
				return
			}
			require.NotErrorIs(t, err, io.EOF)
			require.NoError(t, err)
			require.NotNil(t, l.Manifest)
		})
	}
}
