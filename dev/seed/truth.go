package seed

// tally counts the resources of a member in the classes that decide their release.
type tally struct {
	counts, older, olderOngoing, sensitive, olderSensitive, olderOngoingSensitive [typeCount]int
	auths                                                                         [authKinds][typeCount]int
}

func (t *tally) add(r Type, a about, cutoff day) {
	t.counts[r]++
	if a.auth != authNone {
		t.auths[a.auth][r]++
		return
	}
	old := a.on != 0 && a.on < cutoff
	if old {
		t.older[r]++
	}
	if old && a.ongoing {
		t.olderOngoing[r]++
	}
	if a.label != "" {
		t.sensitive[r]++
	}
	if old && a.label != "" {
		t.olderSensitive[r]++
	}
	if old && a.label != "" && a.ongoing {
		t.olderOngoingSensitive[r]++
	}
}

// MemberTruth is one line of truth.ndjson: what the files hold about one member of the roster. All maps go from a
// resource type to a number, and types of which there are none are left out.
type MemberTruth struct {
	// Patient is the id of the member's Patient.
	Patient string `json:"patient"`
	// Counts holds every resource of the member, prior authorisations included.
	Counts map[string]int `json:"counts"`
	// Older counts those with a date of service more than LookbackYears before the anchor. The date is that of FHIR search:
	// onset for a Condition, the start of an Encounter or a billable period, the hand-over of a dispense. Resources without
	// one (Patient, Coverage, AllergyIntolerance, Device, CareTeam, Goal, Provenance) are never older. Prior authorisations
	// and their documents are not counted here but in PriorAuths.
	Older map[string]int `json:"older,omitempty"`
	// OlderOngoing counts those of Older that began then and still hold: the chronic conditions.
	OlderOngoing map[string]int `json:"olderOngoing,omitempty"`
	// Sensitive counts those with a sensitivity label, OlderSensitive those of them that are also in Older, and
	// OlderOngoingSensitive those of these that are in OlderOngoing, too.
	Sensitive             map[string]int `json:"sensitive,omitempty"`
	OlderSensitive        map[string]int `json:"olderSensitive,omitempty"`
	OlderOngoingSensitive map[string]int `json:"olderOngoingSensitive,omitempty"`
	// PriorAuths counts, by scenario (see PriorAuthScenarios), the prior authorisations and their documents.
	PriorAuths map[string]map[string]int `json:"priorAuths,omitempty"`
	// IDs lists the logical ids by type when Options.TruthIDs is set.
	IDs map[string][]string `json:"ids,omitempty"`
}

// appendTruth writes the member's MemberTruth line.
func (e *emitter) appendTruth() {
	w := jsonWriter{b: e.out.truth}
	w.obj("")
	w.str("patient", e.p.id(Patient, 0))
	t := &e.tally
	w.counts("counts", &t.counts)
	w.countsIfAny("older", &t.older)
	w.countsIfAny("olderOngoing", &t.olderOngoing)
	w.countsIfAny("sensitive", &t.sensitive)
	w.countsIfAny("olderSensitive", &t.olderSensitive)
	w.countsIfAny("olderOngoingSensitive", &t.olderOngoingSensitive)
	none := [authKinds][typeCount]int{}
	if t.auths != none {
		w.obj("priorAuths")
		for kind := range authKinds {
			w.countsIfAny(kind.String(), &t.auths[kind])
		}
		w.end()
	}
	if e.keep {
		w.obj("ids")
		for r, ids := range e.ids {
			if len(ids) > 0 {
				w.strs(typeNames[r], ids...)
			}
		}
		w.end()
	}
	w.end()
	e.out.truth = append(w.b, '\n')
}

func (w *jsonWriter) counts(key string, n *[typeCount]int) {
	w.obj(key)
	for t, c := range n {
		if c > 0 {
			w.num(typeNames[t], c)
		}
	}
	w.end()
}

func (w *jsonWriter) countsIfAny(key string, n *[typeCount]int) {
	if *n != [typeCount]int{} {
		w.counts(key, n)
	}
}
