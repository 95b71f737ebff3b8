// Package amount writes numbers as people read them.
package amount

import (
	"strings"

	decimal "github.com/quagmt/udecimal"
)

// Money has two decimals, rounded away from zero at the half.
func Money(d decimal.Decimal) string {
	return Group(d.RoundHAZ(2).StringFixed(2))
}

// Price keeps all digits of what costs less than 1, and seven of the rest: currencies are quoted in the fifth decimal.
func Price(d decimal.Decimal) string {
	if d.LessThan(decimal.One) {
		return d.String()
	}
	whole, _, _ := strings.Cut(d.String(), ".")
	places := max(2, 7-len(whole))
	text := d.RoundHAZ(uint8(places)).StringFixed(uint8(places))
	for range places - 2 {
		text = strings.TrimSuffix(text, "0")
	}
	return Group(text)
}

// Percent takes a fraction.
func Percent(d decimal.Decimal) string {
	return Group(d.Mul64(100).RoundHAZ(2).StringFixed(2)) + " %"
}

// Group puts a comma between the thousands of a decimal number.
func Group(number string) string {
	digits, fraction, found := strings.Cut(number, ".")
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	if found {
		digits += "." + fraction
	}
	return sign + digits
}
