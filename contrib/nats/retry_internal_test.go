package eventbusnats

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A publish whose context ends tells what was wrong before, and a server that is silent is
// told of as that.
func TestPublishTellsWhatItWaitedFor(t *testing.T) {
	silent := func(ctx context.Context) (verdict, error) {
		<-ctx.Done()
		return judge(ctx.Err())
	}
	noLeader := func(context.Context) (verdict, error) { return temporary, errors.New("no leader") }
	for _, c := range []struct {
		want  string
		first func(context.Context) (verdict, error)
		ends  time.Duration // during the second try, which is silent
	}{
		{"no answer within 2s", silent, 3 * time.Second},
		{"no leader", noLeader, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), c.ends)
			defer cancel()
			next := c.first
			err := newNode().try(ctx, retry{}, func(ctx context.Context) (verdict, error) {
				call := next
				next = silent
				return call(ctx)
			})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorContains(t, err, "the last try: "+c.want)
		})
	}
}
