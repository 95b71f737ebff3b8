package eventbusnats

import (
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var plain = regexp.MustCompile(`^[A-Za-z0-9_=-]*$`)

// FuzzOpenToken: a token is one token of a subject, and the name can be read back from it: so
// different names have different tokens.
func FuzzOpenToken(f *testing.F) {
	for _, name := range []string{"", "order.*", "BRK.B", "BRK=2EB", "=", "größe", "\x00\xff", "a b/c"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := token(name)
		if err != nil {
			require.Greater(t, 3*len(name), maxToken)
			return
		}
		require.Regexp(t, plain, got)
		back, err := url.PathUnescape(strings.ReplaceAll(got, "=", "%"))
		require.NoError(t, err)
		require.Equal(t, name, back)
	})
}

// FuzzMessageEnvelope: what headers say is what they were made of, and a source is a reference.
func FuzzMessageEnvelope(f *testing.F) {
	for _, s := range []string{"", "feed", "a b%20", "1:b", "//[", "line\nbreak\r", " x ", "größe", "\x00\xff", "a?b#c", "%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e := envelope{id: s, source: s, eventType: s, contentType: s}
		h := e.headers()
		for key, values := range h {
			require.Regexp(t, `^[!-~]*$`, values[0], key)
		}
		_, err := url.Parse(unescape(h[headerSource][0]))
		require.NoError(t, err)
		require.Equal(t, e, readEnvelope(h, e.time))
	})
}
