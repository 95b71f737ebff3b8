package main

import (
	"strings"

	decimal "github.com/quagmt/udecimal"
)

func money(d decimal.Decimal) string {
	return group(d.RoundHAZ(2).StringFixed(2))
}

// price keeps all digits of what costs less than 1, and seven of the rest: currencies are quoted in the fifth decimal.
func price(d decimal.Decimal) string {
	if d.LessThan(decimal.One) {
		return d.String()
	}
	whole, _, _ := strings.Cut(d.String(), ".")
	places := max(2, 7-len(whole))
	text := d.RoundHAZ(uint8(places)).StringFixed(uint8(places))
	for range places - 2 {
		text = strings.TrimSuffix(text, "0")
	}
	return group(text)
}

func percent(d decimal.Decimal) string {
	return group(d.Mul64(100).RoundHAZ(2).StringFixed(2)) + " %"
}

// group puts a comma between the thousands of a decimal number.
func group(number string) string {
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
