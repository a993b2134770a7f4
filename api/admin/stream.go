package admin

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// ndjson is the media type in which a list is answered whole, one item a line.
const ndjson = "application/x-ndjson"

// streamPage is how many items are read at a time for a list that is answered whole.
const streamPage = 1000

// stream answers a list whole, an item a line, when that is what the request accepts: page after page is asked for as a client would
// ask, so memory holds one page. Where the list cannot be read to its end, the connection is broken off.
func stream(ctx huma.Context, next func(huma.Context)) {
	if !isList(ctx.Operation()) || !wantsNDJSON(ctx) {
		next(ctx)
		return
	}
	page := &pageOf{asked: ctx, cursor: ctx.Query("cursor")}
	for first := true; ; first = false {
		page.reset()
		next(page)
		if page.status != http.StatusOK {
			if first {
				page.pass(ctx)
				return
			}
			panic(http.ErrAbortHandler) // whoever reads must see that it is cut short
		}
		var items struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := json.Unmarshal(page.body.Bytes(), &items); err != nil {
			panic(http.ErrAbortHandler)
		}
		if first {
			ctx.SetHeader("Content-Type", ndjson)
			ctx.SetHeader("Cache-Control", "no-store")
			ctx.SetStatus(http.StatusOK)
		}
		page.body.Reset()
		for _, item := range items.Items {
			page.body.Write(append(item, '\n'))
		}
		if _, err := io.Copy(ctx.BodyWriter(), &page.body); err != nil || ctx.Context().Err() != nil {
			panic(http.ErrAbortHandler)
		}
		if items.Next == "" {
			return
		}
		page.cursor = items.Next
	}
}

// isList tells whether an operation is of a list with pages.
func isList(op *huma.Operation) bool {
	if op.Method != http.MethodGet {
		return false
	}
	for _, p := range op.Parameters {
		if p.In == "query" && p.Name == "cursor" {
			return true
		}
	}
	return false
}

func wantsNDJSON(ctx huma.Context) bool {
	wanted := false
	ctx.EachHeader(func(name, value string) {
		if !strings.EqualFold(name, "Accept") {
			return
		}
		for one := range strings.SplitSeq(value, ",") {
			media, params, err := mime.ParseMediaType(one)
			quality, qerr := strconv.ParseFloat(params["q"], 64)
			wanted = wanted || err == nil && media == ndjson && (qerr != nil || quality > 0)
		}
	})
	return wanted
}

// asked is huma.Context under a name that is none of its methods.
type asked huma.Context

// pageOf is the request of one page of a list that is answered whole, and its answer.
type pageOf struct {
	asked
	cursor string

	status  int
	headers http.Header
	body    bytes.Buffer
}

func (p *pageOf) reset() {
	p.status, p.headers = 0, http.Header{}
	p.body.Reset()
}

// pass hands the answer on as it is.
func (p *pageOf) pass(ctx huma.Context) {
	for name, values := range p.headers {
		for _, value := range values {
			ctx.AppendHeader(name, value)
		}
	}
	ctx.SetStatus(p.status)
	_, _ = ctx.BodyWriter().Write(p.body.Bytes())
}

func (p *pageOf) Query(name string) string {
	switch name {
	case "cursor":
		return p.cursor
	case "limit":
		return strconv.Itoa(streamPage)
	}
	return p.asked.Query(name)
}

func (p *pageOf) URL() url.URL {
	u := p.asked.URL()
	q := u.Query()
	q.Set("cursor", p.cursor)
	q.Set("limit", strconv.Itoa(streamPage))
	u.RawQuery = q.Encode()
	return u
}

func (p *pageOf) Header(name string) string {
	if strings.EqualFold(name, "Accept") {
		return "application/json"
	}
	return p.asked.Header(name)
}

func (p *pageOf) SetStatus(code int)              { p.status = code }
func (p *pageOf) Status() int                     { return p.status }
func (p *pageOf) SetHeader(name, value string)    { p.headers.Set(name, value) }
func (p *pageOf) AppendHeader(name, value string) { p.headers.Add(name, value) }
func (p *pageOf) BodyWriter() io.Writer           { return &p.body }

// describeStreams tells in the description of every list that it can be had whole.
func describeStreams(api huma.API) {
	for path, item := range api.OpenAPI().Paths {
		if item.Get == nil || !strings.HasPrefix(path, "/admin/") || !isList(item.Get) {
			continue
		}
		item.Get.Description = "With Accept: " + ndjson + " the list is answered whole, from the cursor on: an item a line, whatever the limit."
		item.Get.Responses["200"].Content[ndjson] = &huma.MediaType{}
	}
}
