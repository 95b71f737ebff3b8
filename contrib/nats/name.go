package eventbusnats

import (
	"fmt"
	"strings"
)

// Names of event types and groups are free text, those of streams, consumers and subjects
// are not: a dot would make two tokens of a subject, a star a wildcard, a slash a folder.
// So each name is escaped into one token: letters, digits, - and _ stay, and of every
// other byte = and two hexadecimal digits are left. Different names have different tokens.

// maxToken is how long a token may be: the server takes 255, a prefix included.
const maxToken = 220

const hexDigits = "0123456789ABCDEF"

// token returns the token of a name, or an error if it is too long.
func token(name string) (string, error) {
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; isPlain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'=', hexDigits[c>>4], hexDigits[c&15]})
		}
	}
	if b.Len() > maxToken {
		return "", fmt.Errorf("the name %.40q… is %d bytes long when escaped, at most %d fit", name, b.Len(), maxToken)
	}
	return b.String(), nil
}

func isPlain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}
