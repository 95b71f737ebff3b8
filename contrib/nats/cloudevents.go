package eventbusnats

import (
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Headers of CloudEvents 1.0 in the binary mode of its NATS binding, and the server's
// message id, which finds duplicates.
const (
	headerID          = "ce-id"
	headerSource      = "ce-source"
	headerType        = "ce-type"
	headerTime        = "ce-time"
	headerSpec        = "ce-specversion"
	headerContentType = "ce-datacontenttype"
	headerMessageID   = "Nats-Msg-Id"

	specVersion = "1.0"
)

// An envelope is what a message says of an event beside its payload.
type envelope struct {
	id          string
	source      string // free text
	eventType   string
	contentType string
	time        time.Time
}

func (e envelope) headers() nats.Header {
	id := escapeValue(e.id)
	return nats.Header{
		headerMessageID: {id}, headerID: {id}, headerSpec: {specVersion},
		headerSource: {escapeValue(sourceReference(e.source))}, headerType: {escapeValue(e.eventType)},
		headerTime: {e.time.UTC().Format(time.RFC3339Nano)}, headerContentType: {escapeValue(e.contentType)},
	}
}

// readEnvelope reads the headers of a message, which may be somebody else's: what is
// absent is empty. stored is when the server got the message.
func readEnvelope(h nats.Header, stored time.Time) envelope {
	e := envelope{id: unescape(h.Get(headerID)), eventType: unescape(h.Get(headerType)), contentType: unescape(h.Get(headerContentType))}
	if e.id == "" {
		e.id = unescape(h.Get(headerMessageID))
	}
	e.source = unescape(unescape(h.Get(headerSource)))
	var err error
	if e.time, err = time.Parse(time.RFC3339Nano, h.Get(headerTime)); err != nil {
		e.time = stored
	}
	return e
}

// escapeValue escapes what the binding does not allow in a header, section 3.1.3.2:
// everything but printable ASCII, and space, double quote and percent.
func escapeValue(s string) string {
	return escape(s, func(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' })
}

// sourceReference makes a URI reference of an event's source, which is free text: it
// stays what it is if it can.
func sourceReference(s string) string {
	const reserved = "-._~:/?#[]@!$&'()*+,;="
	ref := escape(s, func(c byte) bool { return isPlain(c) || strings.IndexByte(reserved, c) >= 0 })
	if _, err := url.Parse(ref); err == nil {
		return ref
	}
	return escape(s, isPlain)
}

func escape(s string, keeps func(c byte) bool) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; keeps(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	return b.String()
}

// unescape undoes escape. What was not escaped by its rules stays as it is.
func unescape(s string) string {
	if plain, err := url.PathUnescape(s); err == nil {
		return plain
	}
	return s
}
