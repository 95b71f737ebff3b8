package engine

import (
	"fmt"

	decimal "github.com/quagmt/udecimal"
)

// LossLimit is a Risk check: it vetoes every purchase while the equity after the last fill is below Least. The equity can have
// fallen below Least since that fill. Sales go on, so that a position can be left.
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
