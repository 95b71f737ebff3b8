package candles

import (
	"errors"
	"math/big"
	"regexp"
	"strings"

	decimal "github.com/quagmt/udecimal"
)

// A numberStyle says how a file writes numbers: which byte stands before the decimals and which between thousands.
type numberStyle struct {
	name             string // as option -decimal calls it
	point, thousands string
}

var numberStyles = []numberStyle{{"point", ".", ","}, {"comma", ",", "."}}

var (
	errNotANumber = errors.New("is not a decimal number such as 1455.22")
	exponent      = regexp.MustCompile(`^[-+]?[0-9]*\.?[0-9]+[eE][-+]?[0-9]{1,2}$`)
	currency      = "$€£¥₹₽ \u00a0\u202f"
	spaces        = strings.NewReplacer(" ", "'", "\u00a0", "'", "\u202f", "'", "’", "'")
)

// missing are the ways to write that there is no number.
var missing = map[string]bool{
	"": true, "-": true, "--": true, ".": true, "null": true, "nan": true, "n/a": true, "#n/a": true, "na": true, "none": true, "nil": true,
}

func isMissing(text string) bool { return missing[strings.ToLower(strings.TrimSpace(text))] }

// parse understands 1234.5, 1,234.5, 1'234.5, $1234.5 and 1.2345e3, and the same with the comma as the point.
func (s numberStyle) parse(text string) (decimal.Decimal, error) {
	if n, err := decimal.Parse(text); s.point == "." && (err == nil || errors.Is(err, decimal.ErrPrecOutOfRange)) {
		return n, err
	}
	text = spaces.Replace(strings.Trim(text, currency))
	whole, decimals, found := strings.Cut(text, s.point)
	for _, mark := range []string{s.thousands, "'"} {
		if joined, ok := joinThousands(whole, mark); ok {
			whole = joined
			break
		}
	}
	text = whole
	if found {
		text += "." + decimals
	}
	if exponent.MatchString(text) {
		n, _ := new(big.Rat).SetString(text)
		digits, _ := n.FloatPrec()
		text = n.FloatString(digits)
	}
	n, err := decimal.Parse(text)
	if err != nil && !errors.Is(err, decimal.ErrPrecOutOfRange) {
		err = errNotANumber
	}
	return n, err
}

// joinThousands takes the marks out of 1,234,567, and of the Indian 12,34,567. Elsewhere a mark is no mark.
func joinThousands(whole, mark string) (string, bool) {
	groups := strings.Split(whole, mark)
	last := len(groups) - 1
	for i, group := range groups {
		digits := strings.TrimLeft(group, "-+")
		if strings.Trim(digits, "0123456789") != "" || digits == "" || len(digits) > 3 ||
			i == last && last > 0 && len(digits) != 3 || i > 0 && len(digits) < 2 {
			return whole, false
		}
	}
	return strings.Join(groups, ""), last > 0
}

// multiples stand behind volumes.
var multiples = map[byte]uint64{'K': 1e3, 'M': 1e6, 'B': 1e9, 'T': 1e12}

// volume is zero where the file has none or no number: an index or a currency pair has no volume, and nothing is
// decided by it.
func (s numberStyle) volume(text string) decimal.Decimal {
	multiple := uint64(1)
	if n := len(text); n > 0 && multiples[text[n-1]&^0x20] > 0 {
		multiple, text = multiples[text[n-1]&^0x20], text[:n-1]
	}
	n, err := s.parse(text)
	if err != nil || n.IsNeg() {
		return decimal.Zero
	}
	return n.Mul64(multiple)
}
