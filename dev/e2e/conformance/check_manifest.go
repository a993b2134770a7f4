package conformance

import (
	"bufio"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/klauspost/compress/gzip"
	"github.com/tidwall/gjson"

	"pdexbulk/models"
)

// manifest holds an answer against the required fields of a manifest.
func (t *T) manifest(a answer) {
	t.check(a.status == http.StatusOK && a.media() == "application/json", "the manifest is %d with %q", a.status, a.header.Get("Content-Type"))
	_, err := time.Parse(time.RFC3339, a.get("transactionTime").Str)
	t.check(err == nil, "transactionTime is no instant")
	t.check(a.get("request").Type == gjson.String, "request is no string")
	t.check(a.get("requiresAccessToken").IsBool(), "requiresAccessToken is no boolean")
	for _, key := range []string{"output", "error"} {
		t.check(a.get(key).IsArray(), "%s is no list", key)
		for _, f := range a.get(key).Array() {
			u, err := url.Parse(f.Get("url").Str)
			t.check(err == nil && u.IsAbs(), "the url of a file is not absolute")
			t.check(f.Get("type").Str != "", "a file has no type")
		}
	}
	t.check(!a.get("resourceType").Exists(), "the manifest has a resourceType")
}

// deletions is an export from before something was deleted.
func (t *T) deletions() *export {
	t.ours()
	return t.post(t.backend(), "Patient/$export", annOnly(instant("_since")))
}

var manifestChecks = []check{
	{id: "MF-01", about: "the five fields are there, with and without output", run: func(t *T) {
		c := t.backend()
		t.manifest(t.get(c, t.export(c, "$export", url.Values{"_type": {"Organization"}}).job.StatusURL))
		t.manifest(t.get(c, t.export(c, "$export", url.Values{"_until": {"1970-01-01T00:00:00Z"}}).job.StatusURL))
	}},
	{id: "MF-02", about: "request is the URL that was called; with POST without the body", run: func(t *T) {
		c := t.backend()
		path := "$export?_type=Organization,Location&_since=2000-01-01T00:00:00Z"
		x := t.finish(c, t.start(c, http.MethodGet, path, nil, nil, nil))
		t.check(x.m.Request == t.world.base+"/"+path, "request is %s", x.m.Request)
		x = t.post(c, "Patient/$export", named("_type", "Patient"))
		t.check(x.m.Request == t.world.base+"/Patient/$export", "request of a POST is %s", x.m.Request)
	}},
	{id: "MF-03", about: "nothing is newer than transactionTime; what changes later comes with it as the next _since", slow: true, run: func(t *T) {
		t.ours()
		c := t.backend()
		before := t.post(c, "Patient/$export", patientParameter(bob))
		t.must(t.world.load(t.ctx, "late", models.ImportLive, observation("cx-late", bob)))
		t.check(!before.ids("Observation")["cx-late"], "a file has what came later")
		for _, line := range before.all() {
			at, err := time.Parse(time.RFC3339, line.Get("meta.lastUpdated").Str)
			t.must(err)
			t.check(!at.After(before.m.TransactionTime), "a %s is newer than transactionTime", line.Get("resourceType").Str)
		}
		since := before.m.TransactionTime.Format(time.RFC3339Nano)
		after := t.post(c, "Patient/$export", patientParameter(bob)+`,{"name":"_since","valueInstant":"`+since+`"}`)
		t.check(after.ids("Observation")["cx-late"], "what came later is not in the next export")
	}},
	{id: "MF-04", about: "what was there just before kick-off is exported", slow: true, run: func(t *T) {
		t.ours()
		t.must(t.world.load(t.ctx, "just", models.ImportLive, observation("cx-just", bob)))
		x := t.post(t.backend(), "Patient/$export", patientParameter(bob))
		t.check(x.ids("Observation")["cx-just"], "it is not there")
	}},
	{id: "MF-05", about: "requiresAccessToken is true, and a file without a token 401", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		if !x.m.RequiresAccessToken {
			t.na("files need no token: requiresAccessToken is false, see MF-06")
		}
		t.refused("a file without a token", t.get(t.anonymous(), x.m.Output[0].URL), http.StatusUnauthorized)
	}},
	{id: "MF-06", about: "without requiresAccessToken files come without a token", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		if x.m.RequiresAccessToken {
			t.na("capability URLs are not in use: requiresAccessToken is true")
		}
		a := t.get(t.anonymous(), x.m.Output[0].URL)
		t.check(a.status == http.StatusOK, "status %d", a.status)
	}},
	{id: "MF-07", about: "every file has a type and an absolute url", run: func(t *T) {
		for _, f := range t.everything().m.Output {
			u, err := url.Parse(f.URL)
			t.check(f.Type != "" && err == nil && u.IsAbs(), "one has not")
		}
	}},
	{id: "MF-08", about: "every line is of its file's type", run: func(t *T) {
		x := t.everything() // the download has checked each line
		t.check(len(x.lines) > 5, "there are only %d types", len(x.lines))
	}},
	{id: "MF-09", about: "there may be several files of a type", run: func(t *T) {
		seen := map[string]bool{}
		for _, f := range t.everything().m.Output {
			if seen[f.Type] {
				return // their lines were counted
			}
			seen[f.Type] = true
		}
		t.na("each type has one file")
	}},
	{id: "MF-10", about: "no data, no file: output is empty", run: func(t *T) {
		x := t.export(t.backend(), "$export", url.Values{"_until": {"1970-01-01T00:00:00Z"}})
		t.check(len(x.m.Output) == 0, "there are %d files, first of %s", len(x.m.Output), x.first())
	}},
	{id: "MF-11", about: "count is the number of lines", run: func(t *T) {
		for _, f := range t.everything().m.Output { // the download has compared it
			if f.Count == nil {
				t.na("there is no count")
			}
		}
	}},
	{id: "MF-12", about: "error files hold OperationOutcomes; without errors the list is empty", run: func(t *T) {
		c := t.backend()
		t.check(len(t.export(c, "$export", url.Values{"_type": {"Organization"}}).m.Error) == 0, "an export without trouble has error files")
		x := t.finish(c, t.start(c, http.MethodGet, "$export", url.Values{"_type": {"Organization"}, "nonesuch": {"1"}}, lenient(), nil))
		t.check(len(x.errors) > 0, "there is no error file")
		for _, line := range x.errors {
			t.check(line.Get("resourceType").Str == "OperationOutcome" && len(line.Get("issue").Array()) > 0, "a line is no OperationOutcome")
		}
	}},
	{id: "MF-13", about: "with _since, what was deleted is in deleted and not in output", run: func(t *T) {
		x := t.deletions()
		t.check(!x.ids("Observation")["cx-gone"], "it is in output")
		for _, b := range x.deleted {
			for _, e := range b.Get("entry").Array() {
				if e.Get("request.url").Str == "Observation/cx-gone" {
					return
				}
			}
		}
		t.fail("it is not in deleted")
	}},
	{id: "MF-14", about: "deleted files hold transaction Bundles of DELETE entries", run: func(t *T) {
		x := t.deletions()
		t.check(len(x.deleted) > 0, "there is no deleted file")
		for _, b := range x.deleted {
			t.check(b.Get("resourceType").Str == "Bundle" && b.Get("type").Str == "transaction", "a line is no transaction")
			t.check(len(b.Get("entry").Array()) > 0, "a Bundle is empty")
			for _, e := range b.Get("entry").Array() {
				t.check(e.Get("request.method").Str == "DELETE" && strings.Contains(e.Get("request.url").Str, "/"), "an entry is no DELETE")
			}
		}
	}},
	{id: "MF-15", about: "extension is an object", run: func(t *T) {
		raw := t.everything().m.Extension
		if len(raw) == 0 {
			t.na("the manifest has no extension")
		}
		t.check(gjson.ParseBytes(raw).IsObject(), "it is none")
	}},
	{id: "MF-16", about: "outputOrganizedBy with organizeOutputBy alone", run: func(t *T) {
		c := t.backend()
		a := t.get(c, t.export(c, "$export", url.Values{"_type": {"Organization"}}).job.StatusURL)
		t.check(!a.get("outputOrganizedBy").Exists(), "it is there without the parameter")
		x := t.organized()
		a = t.get(c, x.job.StatusURL)
		t.check(a.get("outputOrganizedBy").Str == "Patient", "it is not there with the parameter")
		t.check(len(a.get("output").Array()) > 0, "there is no output")
		for _, f := range a.get("output").Array() {
			t.check(!f.Get("type").Exists(), "a file has a type")
			next := f.Get("continuesInFile").Str
			t.check(next == "" || a.get(`output.#(url=="`+next+`")`).Exists(), "a file continues in none of the manifest")
		}
	}},
	{id: "MF-17", about: "manifests have pages only with allowPartialManifests", run: func(t *T) {
		c := t.backend()
		a := t.get(c, t.export(c, "$export", url.Values{"_type": {"Organization"}}).job.StatusURL)
		t.check(!a.get("link").Exists(), "there is a link without the parameter")
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}, "allowPartialManifests": {"true"}})
		if t.world.sys == nil && !t.get(c, x.job.StatusURL).get("link").Exists() {
			t.na("the manifest is too short for pages")
		}
		x = t.export(c, "$export", url.Values{"allowPartialManifests": {"true"}})
		seen, first := map[string]bool{}, gjson.Result{}
		for next := x.job.StatusURL; next != ""; {
			a := t.get(c, next)
			again := t.get(c, next)
			t.check(again.status == a.status && string(a.body) == string(again.body), "a page has changed, or is answered with %d", again.status)
			if !first.Exists() {
				first = gjson.ParseBytes(a.body)
				t.check(a.get("link.0.relation").Str == "next" && len(a.get("link").Array()) == 1, "there is no one link to the next")
			}
			for _, field := range []string{"transactionTime", "request", "requiresAccessToken", "outputOrganizedBy", "extension"} {
				t.check(a.get(field).Raw == first.Get(field).Raw, "pages differ in %s", field)
			}
			for _, f := range append(a.get("output").Array(), a.get("error").Array()...) {
				t.check(!seen[f.Get("url").Str], "a file is on two pages")
				seen[f.Get("url").Str] = true
			}
			next = a.get("link.0.url").Str
		}
		t.check(len(seen) == len(x.m.Output)+len(x.m.Error) && len(x.all()) > 0, "the pages hold %d files and %d resources", len(seen), len(x.all()))
	}},
	{id: "MF-18", about: "the manifest without a token is a 401", run: func(t *T) {
		x := t.export(t.backend(), "$export", url.Values{"_type": {"Organization"}})
		t.refused("no token", t.get(t.anonymous(), x.job.StatusURL), http.StatusUnauthorized)
	}},
	{id: "MF-19", about: "$davinci-data-export answers 202 and no Parameters", run: func(t *T) {
		c, id := t.group()
		a := t.accepted(c, http.MethodPost, "Group/"+id+"/$davinci-data-export", posting(), body(""))
		t.check(a.get("resourceType").Str != "Parameters", "the body is a Parameters resource")
	}},
}

// observation is a line for load.
func observation(id, patient string) string {
	return `{"resourceType":"Observation","id":"` + id + `","status":"final","code":{"text":"x"},"subject":{"reference":"Patient/` + patient + `"}}` + "\n"
}

var downloadChecks = []check{
	{id: "DL-01", about: "200, application/fhir+ndjson, a JSON object a line", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		a := t.get(c, x.m.Output[0].URL)
		t.check(a.status == http.StatusOK && a.media() == "application/fhir+ndjson", "%d with %q", a.status, a.header.Get("Content-Type"))
		for line := range strings.Lines(string(a.body)) {
			t.check(gjson.Valid(line) && strings.HasPrefix(line, "{"), "a line is no JSON object")
		}
	}},
	{id: "DL-02", about: "a file: no token 401, a bad one 401, another client's 404", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		if !x.m.RequiresAccessToken {
			t.na("files need no token: requiresAccessToken is false")
		}
		file := x.m.Output[0].URL
		t.refused("no token", t.get(t.anonymous(), file), http.StatusUnauthorized)
		t.refused("a bad token", t.call(t.anonymous(), http.MethodGet, file, http.Header{"Authorization": {"Bearer x"}}, nil), http.StatusUnauthorized)
		if t.world.sys != nil {
			t.refused("another client", t.get(t.payers().b, file), http.StatusNotFound, http.StatusForbidden)
		}
	}},
	{id: "DL-03", about: "a resource that has changed twice is there once, as it is now", run: func(t *T) {
		n := 0
		for _, line := range t.special().lines["Observation"] {
			if line.Get("id").Str == "cx-twice" {
				n++
				t.check(line.Get("valueInteger").Int() == 3, "it is there as it was")
			}
		}
		t.check(n == 1, "it is there %d times", n)
	}},
	{id: "DL-04", about: "every url of the manifest can be fetched", run: func(t *T) {
		x := t.everything() // and has been
		t.check(len(x.m.Output) > 5, "there are only %d files", len(x.m.Output))
	}},
	{id: "DL-05", about: "gzip when it is asked for, else plain, and the same content", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		file := x.m.Output[0].URL
		plain := t.call(c, http.MethodGet, file, http.Header{"Accept-Encoding": {"identity"}}, nil)
		t.check(plain.header.Get("Content-Encoding") == "", "identity is answered with an encoding")
		packed := t.call(c, http.MethodGet, file, http.Header{"Accept-Encoding": {"gzip"}}, nil)
		text := packed.body
		if packed.header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(string(packed.body)))
			t.must(err)
			var out strings.Builder
			_, err = bufio.NewReader(z).WriteTo(&out)
			t.must(err)
			text = []byte(out.String())
		}
		t.check(string(text) == string(plain.body), "the two differ")
	}},
	{id: "DL-07", about: "an attachment has a contentType and an absolute url, which opens with the token", run: func(t *T) {
		t.ours()
		c := t.backend()
		x := t.post(c, "Patient/$export", annOnly(named("_type", "DocumentReference")))
		linked, inline := x.attachment("cx-linked"), x.attachment("cx-inline")
		t.check(linked.Get("contentType").Str == "text/plain" && inline.Get("contentType").Exists() && inline.Get("data").Exists(), "contentType or data is missing")
		u, err := url.Parse(linked.Get("url").Str)
		t.check(err == nil && u.IsAbs(), "the url is not absolute")
		a := t.get(c, linked.Get("url").Str)
		t.check(a.status == http.StatusOK && a.media() == "text/plain" && string(a.body) == "hello", "%d with %q", a.status, a.media())
	}},
	{id: "DL-08", about: "an attachment wants the same token as the files, and no other client's", run: func(t *T) {
		t.ours()
		c := t.backend()
		link := t.post(c, "Patient/$export", annOnly(named("_type", "DocumentReference"))).attachment("cx-linked").Get("url").Str
		t.check(t.get(c, link).status == http.StatusOK, "the token does not do")
		t.refused("no token", t.get(t.anonymous(), link), http.StatusUnauthorized)
		other, err := t.world.register(t.ctx, "check-dl-08-other", models.ClientBackend, allData)
		t.must(err)
		t.refused("another client", t.get(other, link), http.StatusNotFound)
	}},
	{id: "DL-06", about: "a file's URL that is wrong is a 404", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		file := x.m.Output[0].URL
		for _, wrong := range []string{file + "x", strings.Replace(file, jobID(x.job), uuid.NewString(), 1), file[:strings.LastIndexByte(file, '/')] + "/99.Patient.ndjson"} {
			t.refused("a wrong URL", t.get(c, wrong), http.StatusNotFound)
		}
	}},
	{id: "DL-09", about: "a download that has begun goes on beyond Expires", slow: true, run: func(t *T) {
		t.ours()
		c := t.backend()
		job := t.start(c, http.MethodGet, "$export", url.Values{"_type": {"ExplanationOfBenefit"}}, nil, nil)
		m, err := job.Wait(t.ctx, nil)
		t.must(err)
		resp, err := c.Do(t.ctx, http.MethodGet, m.Output[0].URL, http.Header{"Accept-Encoding": {"identity"}}, nil)
		t.must(err)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 16<<20)
		n := int64(0)
		for lines.Scan() {
			if n == 0 {
				t.wait(time.Until(m.Expires) + 2*time.Second)
			}
			n++
		}
		t.must(lines.Err())
		t.check(n == *m.Output[0].Count, "%d lines of %d came", n, *m.Output[0].Count)
	}},
	{id: "DL-10", about: "after Expires status and files are 404 or 410", slow: true, run: func(t *T) {
		t.ours()
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		t.wait(time.Until(x.m.Expires) + time.Second)
		t.refused("its file", t.get(c, x.m.Output[0].URL), http.StatusNotFound, http.StatusGone)
		t.refused("its status", t.get(c, x.job.StatusURL), http.StatusNotFound, http.StatusGone)
	}},
	{id: "DL-11", about: "references of the output resolve, relative or below the base", run: func(t *T) {
		x := t.special()
		known := map[string]bool{}
		for _, line := range x.all() {
			known[line.Get("resourceType").Str+"/"+line.Get("id").Str] = true
		}
		for _, line := range x.all() {
			for _, path := range []string{"subject.reference", "performer.0.reference", "managingOrganization.reference", "target.0.reference"} {
				ref := strings.TrimPrefix(line.Get(path).Str, t.world.base+"/")
				t.check(ref == "" || known[ref], "%s of a %s does not resolve", path, line.Get("resourceType").Str)
			}
		}
	}},
	{id: "DL-12", about: "the manifest can be fetched again, and its files", run: func(t *T) {
		c := t.backend()
		x := t.export(c, "$export", url.Values{"_type": {"Organization"}})
		again := t.finish(c, x.job)
		t.same(x, again, "Organization")
	}},
}

// seeded returns the ids of the roster's resources by type.
func (t *T) seeded() map[string]map[string]bool {
	t.ours()
	files, err := filepath.Glob(filepath.Join(t.world.dir, "data", "roster", "*.ndjson"))
	t.must(err)
	out := map[string]map[string]bool{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		t.must(err)
		ids := map[string]bool{}
		for line := range strings.Lines(string(text)) {
			ids[gjson.Get(line, "id").Str] = true
		}
		out[strings.TrimSuffix(filepath.Base(path), ".ndjson")] = ids
	}
	return out
}
