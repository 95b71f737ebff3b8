package eventbusnats

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

func claimConn(t *testing.T) *nats.Conn {
	n, err := Embedded(t.TempDir(), WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close(context.Background())) })
	return n.in
}

// listening returns a claim that has not asked before it listened, as one of two that begin
// at once, and where its loss is told.
func listening(t *testing.T, conn *nats.Conn, since time.Time) (*claim, <-chan error) {
	lost := make(chan error, 10)
	c := &claim{conn: conn, subject: "subject", who: claimant{ID: since.String(), Since: since}}
	var err error
	c.answers, err = conn.Subscribe(conn.NewInbox(), func(m *nats.Msg) { lost <- inUse(m.Data) })
	require.NoError(t, err)
	c.listen, err = conn.Subscribe(c.subject, c.answer)
	require.NoError(t, err)
	t.Cleanup(c.release)
	return c, lost
}

// Of two that begin at once, the younger gives way, whoever asks first.
func TestImportClaimOfTheOlderStays(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		conn := claimConn(t)
		now := time.Now()
		older, olderLost := listening(t, conn, now)
		younger, youngerLost := listening(t, conn, now.Add(time.Nanosecond))
		claims := []*claim{older, younger}
		for _, i := range order {
			require.NoError(t, claims[i].ask())
			require.NoError(t, conn.FlushTimeout(10*time.Second))
		}
		select {
		case err := <-youngerLost:
			require.ErrorIs(t, err, ErrGroupInUse)
		case <-time.After(10 * time.Second):
			require.Fail(t, "the younger claim stays")
		}
		require.NoError(t, conn.FlushTimeout(10*time.Second))
		require.Empty(t, olderLost)
	}
}

// A claim that is held keeps later ones out; one that was released does not.
func TestImportClaimKeepsOthersOut(t *testing.T) {
	conn := claimConn(t)
	never := func(err error) { t.Errorf("it is lost: %v", err) }
	first, err := newClaim(t.Context(), conn, "subject", never)
	require.NoError(t, err)
	_, err = newClaim(t.Context(), conn, "subject", never)
	require.ErrorIs(t, err, ErrGroupInUse)
	other, err := newClaim(t.Context(), conn, "another", never)
	require.NoError(t, err)
	other.release()
	require.NoError(t, first.ask(), "it does not lose to itself")
	require.NoError(t, conn.FlushTimeout(10*time.Second))
	first.release()
	again, err := newClaim(t.Context(), conn, "subject", never)
	require.NoError(t, err)
	again.release()
}

// One that listens and does not answer, as just after its death, is not waited for for long.
func TestImportClaimOfTheDeadIsTaken(t *testing.T) {
	t.Parallel()
	conn := claimConn(t)
	silent, err := conn.Subscribe("subject", func(*nats.Msg) {})
	require.NoError(t, err)
	defer func() { _ = silent.Unsubscribe() }()
	begun := time.Now()
	c, err := newClaim(t.Context(), conn, "subject", func(error) {})
	require.NoError(t, err)
	require.Less(t, time.Since(begun), 10*time.Second)
	c.release()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = newClaim(ctx, conn, "subject", func(error) {})
	require.ErrorIs(t, err, context.DeadlineExceeded, "the caller has not waited for long enough to know")
}
