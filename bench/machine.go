package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

// writeMachine says what the figures were measured on and how to repeat them.
func writeMachine(w io.Writer, cfg config, args []string) {
	command := strings.Join(append([]string{"go run ."}, args...), " ")
	fmt.Fprintf(w, "Measured %s by `%s` in this directory, %d rounds a case.\n\n", time.Now().UTC().Format("2006-01-02 15:04 MST"), command, cfg.rounds)
	var t table
	t.row("machine", "")
	t.row("processor", processor())
	t.row("cores", fmt.Sprint(runtime.NumCPU()))
	t.row("system", strings.TrimSpace(runtime.GOOS+"/"+runtime.GOARCH+" "+firstLine("/proc/sys/kernel/osrelease")))
	t.row("Go", runtime.Version())
	t.row("GOMAXPROCS", fmt.Sprint(runtime.GOMAXPROCS(0)))
	if load := strings.Fields(firstLine("/proc/loadavg")); len(load) > 0 {
		t.row("load average before", load[0])
	}
	t.write(w)
}

// processor names the CPU where the system says what it is.
func processor() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

func firstLine(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return line
}

// moduleVersion returns the version of a module that this program was built with.
func moduleVersion(path string) string {
	info, _ := debug.ReadBuildInfo()
	if info != nil {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return ""
}
