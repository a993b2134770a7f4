package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"pdexbulk/dev/client"
	"pdexbulk/dev/seed"
)

// world is the payer's members and their data, the same for every system.
type world struct {
	dir       string
	o         seed.Options
	made      seed.Summary
	truth     map[string]seed.MemberTruth // by Patient id
	ofMembers map[string]bool             // the types that members have
	shared    map[string]bool             // the resources of the other types, as Type/id
	names     []string                    // everything that tells of a person, see personal
}

func newWorld(dir string) (*world, error) {
	w := &world{
		dir:   dir,
		o:     seed.Options{Seed: 11, Members: 2000, Density: 0.4, Anchor: time.Now().UTC().Truncate(24 * time.Hour)},
		truth: map[string]seed.MemberTruth{}, ofMembers: map[string]bool{}, shared: map[string]bool{},
	}
	var err error
	if w.made, err = seed.Write(context.Background(), dir, w.o); err != nil {
		return nil, err
	}
	err = client.EachLine(filepath.Join(dir, seed.TruthFile), func(line []byte) error {
		var t seed.MemberTruth
		if err := json.Unmarshal(line, &t); err != nil {
			return err
		}
		w.truth[t.Patient] = t
		for typ := range t.Counts {
			w.ofMembers[typ] = true
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, typ := range seed.Types() {
		if w.ofMembers[typ.String()] {
			continue
		}
		err = client.EachLine(filepath.Join(dir, typ.String()+".ndjson"), func(line []byte) error {
			w.shared[typ.String()+"/"+gjson.GetBytes(line, "id").Str] = true
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	w.names, err = personal(dir)
	return w, err
}

// personal collects what identifies the seeded people: family names that are long enough not to be part of other words,
// member ids, subscriber ids, Social Security numbers with and without hyphens, mail addresses and phone numbers.
func personal(dir string) ([]string, error) {
	found := map[string]bool{}
	add := func(values ...gjson.Result) {
		for _, v := range values {
			if s := v.String(); len(s) >= 6 {
				found[strings.ToLower(s)] = true
			}
		}
	}
	err := client.EachLine(filepath.Join(dir, "Patient.ndjson"), func(line []byte) error {
		p := gjson.ParseBytes(line)
		add(p.Get("name.#.family").Array()...)
		add(p.Get("telecom.#.value").Array()...)
		for _, id := range p.Get("identifier").Array() {
			add(id.Get("value"))
			if v := id.Get("value").String(); strings.Contains(v, "-") {
				found[strings.ReplaceAll(v, "-", "")] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = client.EachLine(filepath.Join(dir, "Coverage.ndjson"), func(line []byte) error {
		add(gjson.GetBytes(line, "subscriberId"))
		add(gjson.GetBytes(line, "identifier.#.value").Array()...)
		return nil
	})
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, err
}

// request makes a match request of a payer about the world and says what must come of it.
func (w *world) request(organization string, o seed.RequestOptions) (body []byte, truth []seed.RequestTruth, err error) {
	var text, lines bytes.Buffer
	if _, err := seed.WriteRequest(&text, &lines, w.o, o); err != nil {
		return nil, nil, err
	}
	for line := range bytes.Lines(lines.Bytes()) {
		var t seed.RequestTruth
		if err := json.Unmarshal(line, &t); err != nil {
			return nil, nil, err
		}
		truth = append(truth, t)
	}
	return bytes.ReplaceAll(text.Bytes(), []byte(seed.RequesterNPI), []byte(payerNPI(organization))), truth, nil
}
