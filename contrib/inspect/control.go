package inspect

import (
	"net/http"

	"github.com/eventbus-go/eventbus"
)

// control pauses or resumes a queue.
func (p *Page) control(w http.ResponseWriter, r *http.Request, name string, act func(eventbus.Queue) error) {
	switch {
	case p.controls == nil:
		http.Error(w, "the page is read-only", http.StatusForbidden)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "queues are controlled with POST", http.StatusMethodNotAllowed)
		return
	}
	q, err := eventbus.ParseQueue(r.URL.Query().Get("queue"))
	if err == nil {
		err = act(q)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	p.controls.WarnContext(r.Context(), "eventbus: queue controlled by hand", "action", name, "queue", q, "remote", r.RemoteAddr)
	w.WriteHeader(http.StatusNoContent)
}

// refuse answers a request from another site.
func (p *Page) refuse(w http.ResponseWriter, r *http.Request) {
	if p.controls != nil {
		p.controls.WarnContext(r.Context(), "eventbus: request from another site refused",
			"method", r.Method, "path", r.URL.Path, "origin", r.Header.Get("Origin"), "remote", r.RemoteAddr)
	}
	http.Error(w, "the request comes from another site", http.StatusForbidden)
}
