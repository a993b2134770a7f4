package quality

import (
	"bytes"
	"time"

	"pdexbulk/dev/seed"
	"pdexbulk/models/fhir"
)

// anchor is a fixed day, so that a run is like another.
var anchor = time.Date(2026, 6, 30, 0, 0, 0, 0, time.UTC)

// seeded makes a roster of invented members and asks about it.
func seeded(name string, so seed.Options, to seed.TrialOptions) (*set, error) {
	s := &set{name: name, members: map[string]int{}, unflagged: to.Hard}
	so.Anchor = anchor
	err := seed.Trial(so, to, func(m seed.TrialMember) error {
		d, err := fhir.ParsePatient(m.Patient)
		if err != nil {
			return err
		}
		var cards []fhir.Card
		for line := range bytes.Lines(m.Coverages) {
			found, err := fhir.ParseCards(line)
			if err != nil {
				return err
			}
			cards = append(cards, found...)
		}
		s.enrol(m.ID, d, cards...)
		return nil
	}, func(q seed.TrialQuery) error {
		d, err := fhir.ParsePatient(q.Patient)
		if err != nil {
			return err
		}
		cards, err := fhir.ParseCards(q.Coverage)
		if err != nil {
			return err
		}
		s.ask(query{kind: q.Kind, patient: d, card: cards[0], truth: q.Truth, optional: q.Kind == "one of two unnamed twins" && q.Truth != ""})
		return nil
	})
	return s, err
}
