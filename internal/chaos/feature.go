package chaos

import (
	"fmt"
	"slices"
	"strings"
)

// A feature is a part of the machine that a schedule may do without. The flag
// -off leaves one out of all schedules, to narrow a failure down.
type feature uint16

const (
	peers     feature = 1 << iota // several buses, whose handlers publish to each other
	meddling                      // handlers call the other buses: flush, step, stop, shut down
	noise                         // loggers and error handlers that publish
	outliving                     // goroutines that publish with the context of a handler that has returned
	passing                       // late joiners that leave
	odd                           // contexts that end late, and one that is done without an error
	aging                         // events expire
	crowds                        // small queues that block for ever, with handlers that answer each event
	keyed                         // queues that conflate
	restarts                      // the context of the last Start ends, and the bus is started at once

	numFeatures = iota
)

const allFeatures feature = 1<<numFeatures - 1

var featureNames = [numFeatures]string{"peers", "meddling", "noise", "outliving", "passing", "odd", "aging", "crowds", "keyed", "restarts"}

// parseFeatures returns the features in a comma-separated list.
func parseFeatures(list string) (f feature, err error) {
	for name := range strings.SplitSeq(list, ",") {
		if name == "" {
			continue
		}
		i := slices.Index(featureNames[:], name)
		if i < 0 {
			return 0, fmt.Errorf("no feature %q; there are %s", name, strings.Join(featureNames[:], ", "))
		}
		f |= 1 << i
	}
	return f, nil
}

func (f feature) has(g feature) bool { return f&g != 0 }

func (f feature) String() string {
	var names []string
	for i, name := range featureNames {
		if f.has(1 << i) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ",")
}
