package fhir

import (
	"encoding/json"
	"errors"

	"pdexbulk/models"
)

// Severity is the severity of an issue (http://hl7.org/fhir/issue-severity).
type Severity string

// The severities.
const (
	SeverityFatal       Severity = "fatal"
	SeverityError       Severity = "error"
	SeverityWarning     Severity = "warning"
	SeverityInformation Severity = "information"
)

// IssueCode is the type of an issue (http://hl7.org/fhir/issue-type).
type IssueCode string

// The issue types used here.
const (
	IssueInvalid       IssueCode = "invalid"
	IssueRequired      IssueCode = "required"
	IssueLogin         IssueCode = "login"
	IssueForbidden     IssueCode = "forbidden"
	IssueSuppressed    IssueCode = "suppressed"
	IssueNotSupported  IssueCode = "not-supported"
	IssueNotFound      IssueCode = "not-found"
	IssueDeleted       IssueCode = "deleted"
	IssueTooLong       IssueCode = "too-long"
	IssueBusinessRule  IssueCode = "business-rule"
	IssueConflict      IssueCode = "conflict"
	IssueTransient     IssueCode = "transient"
	IssueException     IssueCode = "exception"
	IssueThrottled     IssueCode = "throttled"
	IssueProcessing    IssueCode = "processing"
	IssueInformational IssueCode = "informational"
)

// issueOf maps each error kind to its issue type. Gone is "deleted" and not "expired", which R4 keeps for sessions.
var issueOf = map[models.Kind]IssueCode{
	models.KindInvalid:       IssueInvalid,
	models.KindUnauthorized:  IssueLogin,
	models.KindForbidden:     IssueForbidden,
	models.KindNotFound:      IssueNotFound,
	models.KindMethod:        IssueNotSupported,
	models.KindConflict:      IssueConflict,
	models.KindGone:          IssueDeleted,
	models.KindTooLarge:      IssueTooLong,
	models.KindMediaType:     IssueNotSupported,
	models.KindUnprocessable: IssueBusinessRule,
	models.KindThrottled:     IssueThrottled,
	models.KindInternal:      IssueException,
	models.KindUnavailable:   IssueTransient,
}

// IssueCodeOf returns the issue type that stands for an error kind, and "exception" for one it does not know.
func IssueCodeOf(kind models.Kind) IssueCode {
	if code, ok := issueOf[kind]; ok {
		return code
	}
	return IssueException
}

// OperationOutcome is what FHIR routes answer when something went wrong, and what the error files of an export hold.
type OperationOutcome struct {
	ID    string  `json:"id,omitempty"`
	Meta  *Meta   `json:"meta,omitempty"`
	Issue []Issue `json:"issue"`
}

// Issue is one finding of an OperationOutcome.
type Issue struct {
	Severity    Severity         `json:"severity"`
	Code        IssueCode        `json:"code"`
	Details     *CodeableConcept `json:"details,omitempty"`
	Diagnostics string           `json:"diagnostics,omitempty"`
	Expression  []string         `json:"expression,omitempty"`
}

// Outcome makes an OperationOutcome of issues.
func Outcome(issues ...Issue) OperationOutcome { return OperationOutcome{Issue: issues} }

// NewIssue makes an issue. The text is shown to callers, so it must not hold a value somebody sent. The expressions are
// FHIRPaths, or http.<header> for a header.
func NewIssue(severity Severity, code IssueCode, text string, expression ...string) Issue {
	return Issue{Severity: severity, Code: code, Diagnostics: text, Expression: expression}
}

// OutcomeOf makes the OperationOutcome of an error: its models.Error's message and place, or, for an error without one, a
// bare "internal error", since nobody promised that its text is fit to be seen.
func OutcomeOf(err error) OperationOutcome {
	e, ok := errors.AsType[*models.Error](err)
	if !ok {
		return Outcome(NewIssue(SeverityError, IssueException, "internal error"))
	}
	issue := NewIssue(SeverityError, IssueCodeOf(e.Kind), e.Msg)
	if e.Where != "" {
		issue.Expression = []string{e.Where}
	}
	return Outcome(issue)
}

// MarshalJSON writes the resource with its resourceType.
func (o OperationOutcome) MarshalJSON() ([]byte, error) {
	type elements OperationOutcome
	return json.Marshal(struct {
		ResourceType string `json:"resourceType"`
		elements
	}{"OperationOutcome", elements(o)})
}

// ParseOutcome reads an OperationOutcome. The error is a models.Error of KindInvalid without content.
func ParseOutcome(data []byte) (OperationOutcome, error) {
	var o OperationOutcome
	err := decode(data, "OperationOutcome", &o)
	return o, err
}
