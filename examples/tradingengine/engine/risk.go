package engine

import (
	"fmt"

	decimal "github.com/quagmt/udecimal"
)

// LossLimit is a Risk check: it vetoes every purchase once the equity has fallen below Least. Sales go on, so that a
// position can be left.
type LossLimit struct {
	Least decimal.Decimal
}

// Check takes the equity after the last fill.
func (l LossLimit) Check(o Order, a Account) error {
	if o.Side == Buy && a.Equity.LessThan(l.Least) {
		return fmt.Errorf("the equity, %s, is below the limit, %s", a.Equity, l.Least)
	}
	return nil
}
