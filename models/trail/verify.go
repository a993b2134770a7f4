package trail

import "fmt"

// maxFaults bounds how many faults a report names.
const maxFaults = 100

// Fault is a place where the chain is not as it was written.
type Fault struct {
	Seq  int64  `json:"seq" doc:"of the record, or of the first that is missing"`
	What string `json:"what" doc:"what is wrong"`
}

// Report is what a verification found.
type Report struct {
	Sound   bool    `json:"sound"`
	Records int64   `json:"records" doc:"how many were read"`
	Head    Head    `json:"head" doc:"where the chain ends"`
	Anchors int     `json:"anchors" doc:"how many heads that were noted elsewhere it was held against"`
	Faults  []Fault `json:"faults,omitempty" doc:"the first hundred"`
}

// Verifier reads a chain from its first record on and notes where it does not hold.
type Verifier struct {
	keys    Keys
	anchors map[int64][]byte
	last    int64 // the latest anchor
	report  Report
}

// NewVerifier returns a Verifier that also holds the chain against heads which were noted elsewhere.
func NewVerifier(keys Keys, anchors []Head) *Verifier {
	v := &Verifier{keys: keys, anchors: map[int64][]byte{}}
	for _, a := range anchors {
		v.anchors[a.Seq] = a.Hash
		v.last = max(v.last, a.Seq)
	}
	v.report.Anchors = len(anchors)
	return v
}

func (v *Verifier) fault(seq int64, format string, args ...any) {
	if len(v.report.Faults) < maxFaults {
		v.report.Faults = append(v.report.Faults, Fault{seq, fmt.Sprintf(format, args...)})
	}
}

// Add takes the next record, in order of its number.
func (v *Verifier) Add(r *Record) {
	head := v.report.Head
	if r.Seq != head.Seq+1 {
		// What this one was chained to is gone, so nothing can be said of its own hash.
		v.fault(head.Seq+1, "records up to %d are missing", r.Seq-1)
	} else if fits, known := v.keys.Follows(head, r); !known {
		v.fault(r.Seq, "the key it was sealed with is not at hand")
	} else if !fits {
		v.fault(r.Seq, "the record was altered, put in, or moved, or the one before it was")
	}
	if want, ok := v.anchors[r.Seq]; ok && string(want) != string(r.Hash) {
		v.fault(r.Seq, "the chain was written anew: another hash was noted for this record")
	}
	v.report.Records++
	v.report.Head = Head{Seq: r.Seq, Hash: r.Hash}
}

// Report ends the verification.
func (v *Verifier) Report() Report {
	if v.last > v.report.Head.Seq {
		v.fault(v.report.Head.Seq+1, "records up to %d are missing from the end", v.last)
	}
	v.report.Sound = len(v.report.Faults) == 0
	return v.report
}
