package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// tellIgnored writes the error file of a manifest that says which parameters were ignored, and how many resources were too old
// to be handed over, one OperationOutcome each (Bulk Data Access 2.0.0, manifest "error"). It returns no file when there is
// nothing to tell. number is the file's place in the manifest.
func (a *Activities) tellIgnored(ctx context.Context, jobID string, ignored []string, tooOld int64, number int) ([]models.JobFile, error) {
	if len(ignored) == 0 && tooOld == 0 {
		return nil, nil
	}
	var lines [][]byte
	for _, name := range ignored {
		line, err := json.Marshal(ignoredOutcome(name))
		if err != nil {
			return nil, fmt.Errorf("write outcome: %w", err)
		}
		lines = append(lines, append(line, '\n'))
	}
	if tooOld > 0 {
		line, err := json.Marshal(tooOldOutcome(tooOld))
		if err != nil {
			return nil, fmt.Errorf("write outcome: %w", err)
		}
		lines = append(lines, append(line, '\n'))
	}
	return a.smallFile(ctx, models.JobFile{JobID: jobID, File: number, Kind: "error", Type: "OperationOutcome"}, lines)
}

// patientPlace is how the place of an ignored patient reference begins; other ignored things are told by parameter name.
const patientPlace = "Parameters.parameter["

// ignoredOutcome tells of one parameter. It is a warning: some clients take an error here for the failure of the export.
func ignoredOutcome(name string) fhir.OperationOutcome {
	if strings.HasPrefix(name, patientPlace) {
		return fhir.Outcome(fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotFound, "a reference that names no patient of this export was ignored", name))
	}
	switch name {
	case "":
		return fhir.Outcome(fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotSupported, "parameters are not supported and were ignored"))
	case "_type":
		return fhir.Outcome(fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotSupported, "types that are not exported here were ignored", name))
	}
	return fhir.Outcome(fhir.NewIssue(fhir.SeverityWarning, fhir.IssueNotSupported, "the parameter "+name+" is not supported and was ignored", name))
}

// tooOldOutcome tells that the holder's look-back cut something off (decision D-01). It is no error.
func tooOldOutcome(resources int64) fhir.OperationOutcome {
	return fhir.Outcome(fhir.NewIssue(fhir.SeverityInformation, fhir.IssueInformational,
		fmt.Sprintf("%d resources were left out because their date of service lies before what this exchange reaches back to", resources)))
}
