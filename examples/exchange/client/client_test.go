package client

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/eventbus-go/eventbus/examples/exchange/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering is the address of a server that always answers so, until the test ends.
func answering(t *testing.T, status int, body string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		server.Close()
	})
	return server.URL
}

func TestCallTellsRefusalsFromOtherFailures(t *testing.T) {
	call := func(status int, body string) (o wire.Order, err error) {
		return o, Call(t.Context(), http.MethodGet, answering(t, status, body), url.Values{}, &o)
	}
	o, err := call(200, `{"status":"FILLED"}`)
	require.NoError(t, err)
	require.Equal(t, wire.Filled, o.Status)
	_, err = call(400, `{"code":-2013,"msg":"there is no order"}`)
	require.EqualError(t, err, "refused: there is no order (code -2013)")
	require.Equal(t, wire.UnknownOrder, AsRefusal(err).Code)
	for want, answer := range map[string]struct {
		status int
		body   string
	}{
		`status 400 with "no": want a code and a message`: {400, "no"},
		"status 502 Bad Gateway: want 200":                {502, ""},
		"unexpected end of JSON input":                    {200, ""},
	} {
		_, err = call(answer.status, answer.body)
		require.EqualError(t, err, want)
		require.Nil(t, AsRefusal(err))
	}
}

func TestKlinesEndBeforeTheEnd(t *testing.T) {
	rows, err := Klines(t.Context(), answering(t, 200, `[[1000,"1","1","1","1","1",1999],[2000,"1","1","1","1","1",2999]]`), "A", 1000, 2000)
	require.NoError(t, err)
	require.Len(t, rows, 1)
	require.Equal(t, "A", rows[0].Symbol)
}

func TestRetryEndsWithARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken, tries := errors.New("broken"), 0
		require.NoError(t, Retry(t.Context(), time.Second, func() error {
			if tries++; tries < 3 {
				return broken
			}
			return nil
		}))
		require.Equal(t, 3, tries)
		require.ErrorIs(t, Retry(t.Context(), time.Second, func() error { return broken }), broken)
		tries = 0
		require.NotNil(t, AsRefusal(Retry(t.Context(), time.Second, func() error {
			tries++
			return &Refusal{Code: 1}
		})))
		require.Equal(t, 1, tries)
	})
}

func TestAgainWaitsLongerWhileNothingIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var at []time.Time
		require.ErrorIs(t, Again(ctx, slog.New(slog.DiscardHandler), "a stream", func() (heard bool, err error) {
			if at = append(at, time.Now()); len(at) == 12 {
				cancel()
			}
			return len(at) == 10, errors.New("broken")
		}), context.Canceled)
		require.Greater(t, at[9].Sub(at[8]), time.Second)
		require.Less(t, at[10].Sub(at[9]), 100*time.Millisecond, "it was connected")
	})
}
