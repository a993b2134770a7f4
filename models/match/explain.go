package match

import (
	"encoding/json"
	"math"
	"slices"

	"github.com/google/uuid"
)

// Explanation is a decision as operators see it, field by field. It holds levels and weights, and no value of anybody.
type Explanation struct {
	Candidates int        `json:"candidates" doc:"members who had something in common"`
	Best       *Explained `json:"best,omitempty" doc:"the candidate who came nearest"`
	RunnerUp   *Explained `json:"runnerUp,omitempty" doc:"the one after"`
}

// Explained is what was found about one candidate.
type Explained struct {
	Member uuid.UUID        `json:"member"`
	Reason Reason           `json:"reason" doc:"matched, or what was against it, taken alone"`
	Vetoes []Reason         `json:"vetoes,omitempty"`
	Fields []ExplainedField `json:"fields"`
	Rivals []ExplainedRival `json:"rivals" doc:"other ways to explain what agrees, and the evidence against each"`
}

// ExplainedField is how a field agreed. Weights are bits: each makes it twice as likely to be one person.
type ExplainedField struct {
	Field    string  `json:"field"`
	Level    string  `json:"level"`
	Bits     float64 `json:"bits" doc:"weight against its being a stranger"`
	Relative float64 `json:"relative,omitempty" doc:"weight against its being a relative"`
	Twin     float64 `json:"twin,omitempty" doc:"weight against its being a twin"`
}

// ExplainedRival is the evidence against a rival and how much is needed.
type ExplainedRival struct {
	Rival string  `json:"rival" enum:"stranger,relative,twin,namesake"`
	Bits  float64 `json:"bits"`
	Needs float64 `json:"needs"`
}

// Explain returns the explanation of a decision as JSON.
func (d *Decision) Explain() json.RawMessage {
	e := Explanation{Candidates: d.Candidates, Best: d.Best.explain(), RunnerUp: d.RunnerUp.explain()}
	data, err := json.Marshal(e)
	if err != nil {
		return nil // numbers and fixed words always marshal
	}
	return data
}

func (v *Verdict) explain() *Explained {
	if v == nil {
		return nil
	}
	e := &Explained{Member: v.Member, Reason: v.Reason, Vetoes: slices.Clone(v.Vetoes), Fields: []ExplainedField{}}
	for f, found := range v.Fields {
		if found.Level != Missing {
			e.Fields = append(e.Fields, ExplainedField{
				Field: Field(f).String(), Level: found.Level.String(), Bits: tenth(found.Bits), Relative: tenth(found.Relative), Twin: tenth(found.Twin),
			})
		}
	}
	for i, r := range v.Rivals {
		e.Rivals = append(e.Rivals, ExplainedRival{Rival: RivalNames[i], Bits: tenth(r.Bits), Needs: tenth(r.Needs)})
	}
	return e
}

func tenth(x float64) float64 { return math.Round(10*x) / 10 }
