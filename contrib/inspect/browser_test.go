package inspect_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/eventbus-go/eventbus"
)

var shots = flag.String("shots", "", "write screenshots of the page into this folder")

// A browser is a tab of headless Chromium.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // exceptions, and what the browser logs: violations of the policy, say
}

// newBrowser opens one, which ends with the test, or skips the test.
func newBrowser(t *testing.T) *browser {
	path := ""
	for _, name := range []string{"chromium", "google-chrome", "chromium-browser"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("neither chromium nor google-chrome is found: the page is not tried in a browser")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.ExecPath(path), chromedp.WindowSize(1240, 1000))
	allocator, cancel := chromedp.NewExecAllocator(background, options...)
	t.Cleanup(cancel)
	tab, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: tab}
	exceptions, entries := chromedp.Events(tab, runtime.ExceptionThrown), chromedp.Events(tab, cdplog.EntryAdded)
	b.do(chromedp.Navigate("about:blank"))
	go func() {
		for e, err := range exceptions {
			if err != nil {
				return
			}
			b.note((&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
		}
	}()
	go func() {
		for e, err := range entries {
			if err != nil {
				return
			}
			b.note(fmt.Sprint(e.Entry.Level, " ", e.Entry.Text, " ", e.Entry.URL))
		}
	}()
	return b
}

func (b *browser) note(problem string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, problem)
}

func (b *browser) noted() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.problems
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, actions...))
}

func (b *browser) click(selector string) {
	b.t.Helper()
	b.do(chromedp.Click(selector))
}

// text returns the text of an element.
func (b *browser) text(selector string) string {
	b.t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.TextContent(selector))
	require.NoError(b.t, err)
	return s
}

// holds reports whether an expression is true.
func (b *browser) holds(expression string) bool {
	b.t.Helper()
	ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
	require.NoError(b.t, err)
	return ok
}

// await waits until an expression is true.
func (b *browser) await(expression string) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); !b.holds(expression); time.Sleep(20 * time.Millisecond) {
		require.True(b.t, time.Now().Before(deadline), expression)
	}
}

func (b *browser) prefer(scheme string) {
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// hide makes the page believe that its tab is in the background, or no more.
func (b *browser) hide(hidden bool) {
	b.t.Helper()
	b.holds(fmt.Sprintf(`Object.defineProperty(document, 'hidden', {value: %v, configurable: true}); document.dispatchEvent(new Event('visibilitychange'))`, hidden))
}

// shoot takes a screenshot of the top of the page.
func (b *browser) shoot(name string) {
	b.holds(`scrollTo(0, 0) || true`)
	time.Sleep(15 * time.Second) // charts want some history
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(*shots, name+".png"), png, 0o644))
}

func TestPageInABrowser(t *testing.T) {
	b := newBrowser(t)
	d := newDesk(t, "<i>AAPL</i>", errRisky)
	b.do(chromedp.Navigate(d.url))
	b.await(`document.querySelectorAll('.queue').length === 3 && document.querySelector('#state').textContent === 'running'`)

	t.Run("a stuck handler appears, and its stack opens", func(t *testing.T) {
		b.await(`document.querySelector('#q-order.slow .call') !== null`)
		require.Contains(t, b.text("#q-order .call"), "broker has been at order_placed for at least")
		b.click("#q-order .stack")
		b.await(`document.querySelector('#dialog').open && document.querySelector('#dialog pre').textContent.includes('newDesk')`)
		require.Contains(t, b.text("#dialog pre"), "desk_test.go:")
		b.click("#dialog .close")
		b.await(`!document.querySelector('#dialog').open`)
	})

	t.Run("markup shows as text", func(t *testing.T) {
		b.await(`document.querySelector('#failures tbody').textContent.includes('<b>too risky</b>')`)
		b.await(`document.querySelector('#events tbody').textContent.includes('<i>AAPL</i>')`)
		require.True(t, b.holds(`document.querySelector('td b, td i') === null`))
	})

	t.Run("an order leads back to its tick", func(t *testing.T) {
		d.next <- struct{}{} // of the order that began before anybody looked
		d.next <- struct{}{}
		b.await(`document.querySelector('#events tbody td').textContent.startsWith('order')`) // they come first
		b.click("#hold")
		b.click("#events tbody button")
		text := b.text("#dialog pre")
		require.Regexp(t, `^order #\d+  order_placed  from risk`, text)
		require.Regexp(t, `← signal #\d+`, text)
		require.Regexp(t, `← data #\d+  tick`, text)
		require.Contains(t, text, "older than the last")
		b.click("#dialog .close")
		b.click("#hold")
	})

	t.Run("charts are drawn", func(t *testing.T) {
		require.True(t, b.holds(`document.querySelectorAll('.plot canvas').length === 6`))
		b.await(`[...charts].every(c => c.data[0].length > 2)`)
		b.await(`parseFloat(document.querySelector('#q-data .facts').textContent) > 0`)
		require.Contains(t, b.text("#q-data .facts"), "wait p50")
	})

	t.Run("it is dark where dark is preferred", func(t *testing.T) {
		b.prefer("dark")
		b.await(`getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 28)'`)
	})
	t.Run("it fits into 400 px", func(t *testing.T) {
		b.do(chromedp.EmulateViewport(400, 1000))
		b.await(`document.documentElement.scrollWidth <= 400 && document.querySelector('.plot canvas').clientWidth < 400`)
	})
	b.do(chromedp.EmulateViewport(1240, 1000))

	t.Run("pause takes two clicks, and resume one", func(t *testing.T) {
		b.click("#q-data .pause")
		require.Equal(t, "click again to pause", b.text("#q-data .pause"))
		require.False(t, d.isPaused(eventbus.DataQueue))
		b.click("#q-data .pause")
		b.await(`document.querySelector('#q-data .pause').textContent === 'resume' && !document.querySelector('#q-data .paused').hidden`)
		require.True(t, d.isPaused(eventbus.DataQueue))
		require.Contains(t, d.log.String(), "action=pause queue=data")
		b.click("#q-data .pause")
		b.await(`document.querySelector('#q-data .pause').textContent === 'pause'`)
		require.False(t, d.isPaused(eventbus.DataQueue))
	})

	t.Run("a tab in the background does not look", func(t *testing.T) {
		b.hide(true)
		require.Eventually(t, func() bool { return !hasTap(d.bus) }, patience, 10*time.Millisecond)
		b.hide(false)
		require.Eventually(t, func() bool { return hasTap(d.bus) }, patience, 10*time.Millisecond)
	})

	require.Empty(t, b.noted(), "what the browser complains of")

	t.Run("a cross-site POST is refused", func(t *testing.T) {
		attack(t, b, d.url)
		require.Contains(t, d.log.String(), "request from another site refused")
		require.False(t, d.isPaused(eventbus.OrderQueue))
	})

	t.Run("the stream ends when the page closes", func(t *testing.T) {
		b.do(chromedp.Navigate(d.url))
		b.await(`document.querySelectorAll('.queue').length === 3`)
		require.True(t, hasTap(d.bus))
		b.do(chromedp.Navigate("about:blank"))
		require.Eventually(t, func() bool { return !hasTap(d.bus) }, patience, 10*time.Millisecond)
	})
}

// attack opens a page of another site, which posts to the page in the two ways it can: a
// request in the background, and a form.
func attack(t *testing.T, b *browser, url string) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<title>waiting</title><form method="post" action="%[1]s"></form>
<script>fetch(%[1]q, {method: 'POST', mode: 'no-cors'}).finally(() => document.title = 'posted')</script>`, url+"pause?queue=order")
	})
	other := httptest.NewServer(mux)
	defer other.Close()
	b.do(chromedp.Navigate(strings.Replace(other.URL, "127.0.0.1", "localhost", 1)))
	b.await(`document.title === 'posted'`)
	b.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := chromedp.Evaluate[any](`setTimeout(() => document.forms[0].submit()); null`)(ctx, target)
		return err
	}))
	b.await(`document.body.textContent.includes('the request comes from another site')`)
}

// TestScreenshots takes those of the README, if -shots says where to.
func TestScreenshots(t *testing.T) {
	if *shots == "" {
		t.Skip("-shots is not given")
	}
	b := newBrowser(t)
	d := newDesk(t, "AAPL", errors.New("position limit of 500 is reached"))
	b.do(chromedp.Navigate(d.url))
	b.await(`document.querySelector('#q-order.slow .call') !== null`)
	for range 2 {
		d.next <- struct{}{}
	}
	for _, scheme := range []string{"light", "dark"} {
		b.prefer(scheme)
		b.shoot(scheme)
	}
	b.do(chromedp.EmulateViewport(400, 1400))
	b.shoot("narrow")
}
