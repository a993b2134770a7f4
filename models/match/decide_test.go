package match

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// today is after everybody of the tests is grown up.
const today = 20784

func model() *Model {
	m := Default()
	m.Today = today
	return m
}

// pat makes a person: family, given names, gender, identifiers. They live in one house.
func pat(family, given, gender string, ids ...ID) Person {
	words, suffix := GivenWords([]string{given})
	p := Person{Suffix: suffix, BirthDate: new(int32(1819)), Gender: gender, IDs: ids}
	p.Families = appendNew(nil, fold(family))
	p.Givens = appendNew(nil, strings.Join(words, " "))
	p.BirthOrder = orderOf([]string{given})
	p.Multiple = p.BirthOrder > 0
	p.Addresses = []Address{{"12", "main", "springfield", "62701"}}
	p.sortIDs()
	return p
}

func (p Person) born(d int32) Person {
	p.BirthDate = &d
	return p
}

func (p Person) also(family string) Person {
	p.Families = append([]string{family}, p.Families...)
	return p
}

func (p Person) moved() Person {
	p.Addresses = []Address{{"7", "oak", "dover", "19901"}}
	return p
}

func (p Person) nowhere() Person {
	p.Addresses = nil
	return p
}

func (p Person) phone(number string) Person {
	p.Phones = []string{number}
	return p
}

func (p Person) twin() Person {
	p.Multiple = true
	return p
}

func roster(people ...Person) []Candidate {
	var out []Candidate
	for i, p := range people {
		out = append(out, Candidate{Member: uuid.UUID{byte(i + 1)}, Person: p})
	}
	return out
}

var (
	familyID = ID{models.CardSubscriber, "W1234567"}
	member1  = ID{models.CardMemberID, "W123456701"}
	member2  = ID{models.CardMemberID, "W123456702"}
	mbi      = ID{models.CardMBI, "1EG4TE5MK73"}
	social   = ID{models.CardSSN, "219456789"}
)

const (
	childBorn  = 18000 // 2019
	parentBorn = 1819  // 1974
)

func TestDecide(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		probe  Person
		roster []Person
		want   Reason
		member byte // the index in roster + 1, 0 for none
	}{
		"subscriber number and names":  {pat("Smith", "Mary Ann", "female", familyID), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonMatched, 1},
		"member id":                    {pat("Smith", "Mary", "female", member1).nowhere(), []Person{pat("Smith", "Mary", "female", member1, familyID)}, ReasonMatched, 1},
		"dependant in another form":    {pat("Smith", "Mary", "female", ID{models.CardMemberID, "W12345671"}), []Person{pat("Smith", "Mary", "female", member1, familyID)}, ReasonMatched, 1},
		"member id in the other slot":  {pat("Smith", "Mary", "", ID{models.CardSubscriber, "W123456701"}), []Person{pat("Smith", "Mary", "", member1)}, ReasonMatched, 1},
		"nobody there":                 {pat("Smith", "Mary", "female", familyID), nil, ReasonNoCandidate, 0},
		"former family name":           {pat("Jones", "Mary", "female", familyID).also("smith"), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonMatched, 1},
		"changed family name":          {pat("Jones", "Mary", "female", familyID), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonMatched, 1},
		"half of a double name":        {pat("Smith-Jones", "Mary", "female", familyID), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonMatched, 1},
		"a slip in the family name":    {pat("Smiht", "Mary", "female", familyID), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonMatched, 1},
		"given and family exchanged":   {pat("Mary", "Smith", "female", familyID), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonMatched, 1},
		"exchanged, but the middle":    {pat("Mary", "Smith Jane", "female", familyID), []Person{pat("Smith", "Mary Jane", "female", familyID)}, ReasonMatched, 1},
		"exchanged, a name of two":     {pat("Mary", "Smith Jones Ann", "female", familyID), []Person{pat("Smith Jones", "Mary Ann", "female", familyID)}, ReasonMatched, 1},
		"three names, all elsewhere":   {pat("Jane", "Smith Mary", "female", familyID), []Person{pat("Smith", "Mary Jane", "female", familyID)}, ReasonMatched, 1},
		"exchanged, they sound alike":  {pat("Jorge", "Garcia K", "male", familyID), []Person{pat("Garcia", "Jorge K", "male", familyID)}, ReasonMatched, 1},
		"first and middle, a slip":     {pat("Smith", "Stephen Justtin", "male", familyID), []Person{pat("Smith", "Justin Stephen", "male", familyID)}, ReasonMatched, 1},
		"cut short":                    {pat("Smith", "Barb", "female", familyID), []Person{pat("Smith", "Barbara", "female", familyID)}, ReasonMatched, 1},
		"cut short to another name":    {pat("Smith", "Anna", "female", familyID), []Person{pat("Smith", "Annabelle", "female", familyID)}, ReasonGiven, 0},
		"born near, nothing personal":  {pat("Smith", "Mary", "", familyID).born(parentBorn + 9), []Person{pat("Smith", "Mary", "", familyID)}, ReasonMatched, 1},
		"another name, born near":      {pat("Smith", "Sara", "female", social).born(parentBorn + 150), []Person{pat("Smith", "Ara", "female", social)}, ReasonMatched, 1},
		"half exchanged, two cards":    {pat("Brody", "Smith", "male", member1, social, familyID), []Person{pat("Smith", "John", "male", member1, social, familyID)}, ReasonMatched, 1},
		"half exchanged, the family's": {pat("Brody", "Smith", "male", familyID), []Person{pat("Smith", "John", "male", familyID)}, ReasonGiven, 0},
		"a slip in the birth date":     {pat("Smith", "Mary", "female", familyID).born(1820), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonMatched, 1},
		"another birth date":           {pat("Smith", "Mary", "female", familyID).born(4000), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonBirthDate, 0},
		"our birth date not known":     {pat("Smith", "Mary", "female", familyID), []Person{{Families: []string{"smith"}, Givens: []string{"mary"}, IDs: []ID{familyID}}}, ReasonBirthDate, 0},
		"birth date not submitted":     {Person{Families: []string{"smith"}, Givens: []string{"mary"}, IDs: []ID{member1}}, []Person{pat("Smith", "Mary", "", member1)}, ReasonIncomplete, 0},
		"no name":                      {Person{BirthDate: new(int32(1819)), IDs: []ID{member1}}, []Person{pat("Smith", "Mary", "", member1)}, ReasonIncomplete, 0},
		"gender differs":               {pat("Smith", "Robin", "male", familyID), []Person{pat("Smith", "Robin", "female", familyID)}, ReasonGender, 0},
		"gender unknown":               {pat("Smith", "Robin", "", familyID), []Person{pat("Smith", "Robin", "female", familyID)}, ReasonMatched, 1},
		"gender other":                 {pat("Smith", "Robin", "other", familyID), []Person{pat("Smith", "Robin", "female", familyID)}, ReasonMatched, 1},
		"none of the identifiers":      {pat("Smith", "Mary", "female", ID{models.CardSubscriber, "K9999999"}).moved(), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonIdentifier, 0},
		"moved, without a card":        {pat("Smith", "Mary", "female").moved(), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonUncorroborated, 0},
		"a digit of the member id":     {pat("Smith", "Mary", "female", ID{models.CardMemberID, "W123956701"}), []Person{pat("Smith", "Mary", "female", member1)}, ReasonMatched, 1},

		"spouse on the same number":     {pat("Smith", "John", "male", familyID), []Person{pat("Smith", "Mary", "female", familyID), pat("Smith", "John", "male", familyID)}, ReasonMatched, 2},
		"spouse, true member absent":    {pat("Smith", "John", "male", familyID), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonGiven, 0},
		"spouses of one gender, absent": {pat("Smith", "Mary", "female", familyID), []Person{pat("Smith", "Jane", "female", familyID)}, ReasonGiven, 0},
		"spouse with the other's card":  {pat("Smith", "John", "male", member1), []Person{pat("Smith", "Mary", "female", member1, familyID).born(1500)}, ReasonGiven, 0},

		"twins":                             {pat("Smith", "Ann", "female", familyID).born(childBorn), []Person{pat("Smith", "Ann", "female", familyID).born(childBorn), pat("Smith", "Eve", "female", familyID).born(childBorn)}, ReasonMatched, 1},
		"twin, absent":                      {pat("Smith", "Ann", "female", familyID).born(childBorn), []Person{pat("Smith", "Eve", "female", familyID).born(childBorn)}, ReasonGiven, 0},
		"twin, absent, other number":        {pat("Smith", "Ann", "female", member1, familyID).born(childBorn), []Person{pat("Smith", "Eve", "female", member2, familyID).born(childBorn)}, ReasonGiven, 0},
		"twin with the other's card":        {pat("Smith", "Ann", "female", member1, familyID).born(childBorn), []Person{pat("Smith", "Eve", "female", member1, familyID).born(childBorn)}, ReasonGiven, 0},
		"twin of nearly the same":           {pat("Smith", "Marie", "female", familyID).born(childBorn), []Person{pat("Smith", "Maria", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twin known to be one":              {pat("Smith", "Jayln", "male", familyID).born(childBorn).twin(), []Person{pat("Smith", "Jaylen", "male", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"of nearly the same, his card":      {pat("Smith", "Angelica", "female", member1, familyID).born(childBorn), []Person{pat("Smith", "Angelina", "female", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"garbled, the family's card":        {pat("Smith", "Felipzabeth", "female", familyID).born(childBorn), []Person{pat("Smith", "Elizabeth", "female", familyID).born(childBorn)}, ReasonMatched, 1},
		"garbled, known to be a twin":       {pat("Smith", "Felipzabeth", "female", familyID).born(childBorn).twin(), []Person{pat("Smith", "Elizabeth", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"rare names that rhyme":             {pat("Smith", "Jaylin", "male", familyID).born(childBorn), []Person{pat("Smith", "Jaylon", "male", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twins, exchanged, all alike":       {pat("Yang", "Yan P", "female", familyID).born(childBorn), []Person{pat("Eun Ji", "Yang", "female", familyID).born(childBorn)}, ReasonGiven, 0},
		"twins, one name in common":         {pat("Smith", "Maria Elena", "female", member1, familyID).born(childBorn).twin(), []Person{pat("Smith", "Maria", "female", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twins, exchanged, one name twice":  {pat("Alexander", "Alexander", "male", familyID).born(childBorn), []Person{pat("Kyle", "Alexander", "male", familyID).born(childBorn)}, ReasonGiven, 0},
		"a second name, left out":           {pat("Kang", "Aiko Yumi", "female", familyID).born(childBorn), []Person{pat("Kang", "Aiko", "female", familyID).born(childBorn)}, ReasonMatched, 1},
		"spouses, one the other's nickname": {pat("Melyard", "John Jack", "male", member1, familyID), []Person{pat("Rosshaw", "Jack", "male", member1, familyID).born(2945)}, ReasonBirthDate, 0},
		"brothers, a slip apart":            {pat("Li", "Dong Hyun", "male", member1, familyID), []Person{pat("Li", "Dung", "male", member1, familyID).born(2528)}, ReasonBirthDate, 0},
		"twins, half a name":                {pat("Lee", "Mei Ling", "female", familyID).born(childBorn), []Person{pat("Lee", "Mei", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twins, other initials":             {pat("Khan", "Mohammed A", "male", familyID).born(childBorn), []Person{pat("Khan", "Mohammed H", "male", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"sisters, one name in common":       {pat("Smith", "Maria Elena", "female", member1, familyID), []Person{pat("Smith", "Maria", "female", member1, familyID).born(1077)}, ReasonBirthDate, 0},
		"one name, a slip in the date":      {pat("Smith", "Maria Elena", "female", member1, familyID), []Person{pat("Smith", "Maria", "female", member1, familyID).born(1820)}, ReasonMatched, 1},
		"twins, exchanged":                  {pat("Sean", "Smith", "male", familyID).born(childBorn), []Person{pat("Smith", "Jean", "male", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twins, one's name garbled":         {pat("Smith", "Saen", "male", familyID).born(childBorn), []Person{pat("Smith", "Jean", "male", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twins, a name is near the other's": {pat("Ngoc", "Yang", "female", familyID).born(childBorn), []Person{pat("Yang", "Yan", "female", familyID).born(childBorn)}, ReasonGiven, 0},
		"twins, short for both":             {pat("Smith", "Debbie", "female", familyID).born(childBorn), []Person{pat("Smith", "Debra", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twins, short for the other":        {pat("Smith", "Janet A", "female", familyID).born(childBorn), []Person{pat("Smith", "Jess A", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"short for both, the other's card":  {pat("Smith", "Jonathan Scott", "male", member1, familyID).born(childBorn), []Person{pat("Smith", "John J Scott", "male", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"a short form, no child any more":   {pat("Smith", "Jonathan", "male", member1, familyID), []Person{pat("Smith", "John", "male", member1, familyID)}, ReasonMatched, 1},
		"sisters, the first of two names":   {pat("Smith", "Mary Ann A", "female", member1, familyID).born(childBorn), []Person{pat("Smith", "Mary G", "female", member1, familyID).born(childBorn - 1945)}, ReasonBirthDate, 0},
		"no given name, the other's card":   {pat("Smith", "", "female", member1, familyID).born(childBorn), []Person{pat("Smith", "Eve", "female", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"no given name, no child any more":  {pat("Smith", "", "female", member1, familyID), []Person{pat("Smith", "Eve", "female", member1, familyID)}, ReasonMatched, 1},
		"twins, a syllable in common":       {pat("Li", "Min Ji", "female", familyID).born(childBorn), []Person{pat("Li", "Min Seo", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twins, a syllable, his card":       {pat("Li", "Min Ji", "female", member1, familyID).born(childBorn), []Person{pat("Li", "Min Jun", "male", member1, familyID).born(childBorn)}, ReasonGender, 0},
		"twins, first and middle name":      {pat("Smith", "Roy", "male", member1, familyID).born(childBorn), []Person{pat("Smith", "Robert Roy", "male", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"garbled from either's name":        {pat("Smith", "Jante", "female", familyID).born(childBorn).twin(), []Person{pat("Smith", "Jane", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"spouses of one initial":            {pat("Smith", "J", "male", member1, familyID), []Person{pat("Smith", "Joshua", "male", member1, familyID).born(parentBorn + 88)}, ReasonGivenWeak, 0},
		"spouses, first and middle name":    {pat("Smith", "Lee", "male", member1, familyID), []Person{pat("Smith", "John Lee", "male", member1, familyID).born(parentBorn + 88)}, ReasonGivenWeak, 0},
		"spouses, a slip, his card":         {pat("Smith", "Nicole", "female", member1, familyID), []Person{pat("Smith", "Lily Nicole", "female", member1, familyID).born(parentBorn + 61)}, ReasonGivenWeak, 0},
		"twins that rhyme, the other's":     {pat("Le", "Kaden", "male", member1, familyID).born(childBorn), []Person{pat("Le", "Jaden Arthur", "male", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"twins, an initial, the other's":    {pat("Smith", "A", "female", member1, familyID).born(childBorn), []Person{pat("Smith", "Amanda", "female", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"spouses, one birthday, his card":   {pat("Smith", "Max", "male", member1, familyID).phone("2175550110"), []Person{pat("Smith", "John", "male", member1, familyID).phone("2175550188")}, ReasonGiven, 0},
		"spouse not named, the other's":     {pat("Smith", "", "male", member1, familyID), []Person{pat("Smith", "Juan", "male", member1, familyID).born(parentBorn + 25)}, ReasonGivenWeak, 0},
		"spouses, the name of one":          {pat("Jing", "Thao", "female", familyID), []Person{pat("Thao", "Thao", "female", familyID).born(parentBorn + 150)}, ReasonGiven, 0},
		"known twins, the other's card":     {pat("Smith", "John", "male", member1, familyID).born(childBorn), []Person{pat("Smith", "Jonathan", "male", member1, familyID).born(childBorn).twin()}, ReasonGivenWeak, 0},
		"sister with a newborn's card":      {pat("Smith", "Mary", "female", member1, familyID).born(childBorn - 2922), []Person{pat("Smith", "Baby Girl", "female", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"exchanged, a slip in the family":   {pat("Timothy", "Mccarthy", "male", familyID).born(childBorn), []Person{pat("Mccarrhy", "Timothy", "male", familyID).born(childBorn)}, ReasonMatched, 1},
		"exchanged, a slip":                 {pat("Elizabetj", "Smith", "female", familyID).born(childBorn), []Person{pat("Smith", "Elizabeth", "female", familyID).born(childBorn)}, ReasonMatched, 1},
		"twins without a card":              {pat("Smith", "", "female").born(childBorn), []Person{pat("Smith", "Eve", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"the other member id":               {pat("Smith", "Ann", "female", member2, familyID), []Person{pat("Smith", "Ann", "female", member1, familyID)}, ReasonDependent, 0},
		"the other, family not known":       {pat("Smith", "Ann", "female", member2), []Person{pat("Smith", "Ann", "female", member1)}, ReasonDependent, 0},

		"father and son":                {pat("Smith", "John Jr.", "male", familyID), []Person{pat("Smith", "John Sr.", "male", familyID)}, ReasonSuffix, 0},
		"second and third":              {pat("Smith", "John II", "male", familyID), []Person{pat("Smith", "John III", "male", familyID)}, ReasonSuffix, 0},
		"Jr. is II":                     {pat("Smith", "John II", "male", familyID), []Person{pat("Smith", "John Jr", "male", familyID)}, ReasonMatched, 1},
		"suffix on one side":            {pat("Smith", "John", "male", familyID), []Person{pat("Smith", "John Jr", "male", familyID)}, ReasonMatched, 1},
		"son, father there":             {pat("Smith", "John", "male", familyID).born(childBorn), []Person{pat("Smith", "John", "male", familyID).born(parentBorn)}, ReasonBirthDate, 0},
		"son with the father's card":    {pat("Smith", "John", "male", member1, familyID).born(childBorn), []Person{pat("Smith", "John", "male", member1, familyID).born(parentBorn)}, ReasonBirthDate, 0},
		"son born on the father's day":  {pat("Smith", "John", "male", member1, familyID).born(parentBorn + 7305), []Person{pat("Smith", "John", "male", member1, familyID).born(parentBorn)}, ReasonGeneration, 0},
		"changed given name, own card":  {pat("Smith", "Max", "male", member1, familyID), []Person{pat("Smith", "John", "male", member1, familyID)}, ReasonMatched, 1},
		"both names others, own card":   {pat("Nonesuch", "Nobody", "male", member1, familyID), []Person{pat("Smith", "John", "male", member1, familyID)}, ReasonGiven, 0},
		"both names others, two cards":  {pat("Nonesuch", "Nobody", "male", member1, social), []Person{pat("Smith", "John", "male", member1, social)}, ReasonGiven, 0},
		"wrong birth date, own card":    {pat("Smith", "John", "male", member1, familyID).born(4000), []Person{pat("Smith", "John", "male", member1, familyID)}, ReasonMatched, 1},
		"social security number differ": {pat("Smith", "John", "male", familyID, social), []Person{pat("Smith", "John", "male", familyID, ID{models.CardSSN, "301998877"})}, ReasonNational, 0},

		"newborn, family's number":          {pat("Smith", "Baby Girl", "female", familyID).born(childBorn), []Person{pat("Smith", "Ann", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"newborn, own member id":            {pat("Smith", "Baby Girl", "female", member1, familyID).born(childBorn), []Person{pat("Smith", "Baby Girl", "female", member1, familyID).born(childBorn)}, ReasonMatched, 1},
		"newborn, own member id, no gender": {pat("Smith", "Baby", "", member1, familyID).born(childBorn), []Person{pat("Smith", "Baby Girl", "female", member1, familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"newborn, the family's as own":      {pat("Smith", "Baby Girl", "female", ID{models.CardMemberID, "W1234567"}, familyID).born(childBorn), []Person{pat("Smith", "Ann", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"newborn twins, the family's":       {pat("Smith", "Baby Girl A", "female", familyID).born(childBorn), []Person{pat("Smith", "Baby Girl A", "female", familyID).born(childBorn)}, ReasonGivenWeak, 0},
		"newborn twins, the other":          {pat("Smith", "Baby Girl A", "female", familyID).born(childBorn), []Person{pat("Smith", "Baby Girl B", "female", familyID).born(childBorn)}, ReasonBirthOrder, 0},
		"newborn, social security number":   {pat("Smith", "Baby Girl", "female", social).born(childBorn), []Person{pat("Smith", "Ann", "female", social).born(childBorn)}, ReasonMatched, 1},
		"no given name, mbi":                {pat("Smith", "", "female", mbi), []Person{pat("Smith", "Ann", "female", mbi)}, ReasonMatched, 1},
		"no given name, mbi of several":     {pat("Smith", "", "female", mbi), []Person{pat("Smith", "Ann", "female", mbi), pat("Jones", "Eve", "female", mbi)}, ReasonGivenWeak, 0},

		"demographics alone":       {pat("Smith", "Mary", "female").nowhere(), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonMatched, 1},
		"demographics, a slip":     {pat("Smiht", "Mary", "female").nowhere(), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonDemographics, 0},
		"demographics, no gender":  {pat("Smith", "Mary", "").nowhere(), []Person{pat("Smith", "Mary", "female", familyID)}, ReasonDemographics, 0},
		"seeded twice":             {pat("Smith", "Mary", "female", familyID), []Person{pat("Smith", "Mary", "female", familyID), pat("Smith", "Mary", "female", familyID)}, ReasonSeveral, 0},
		"seeded twice, one number": {pat("Smith", "Mary", "female", member1, familyID), []Person{pat("Smith", "Mary", "female", member1, familyID), pat("Smith", "Mary", "female", familyID)}, ReasonSeveral, 0},
		"placeholder":              {pat("Smith", "Mary", "female", IDs(models.CardMemberID, "999999999")...).nowhere(), []Person{pat("Smyth", "Mary", "female", IDs(models.CardMemberID, "999999999")...)}, ReasonDemographics, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := model().Decide(tc.probe, roster(tc.roster...))
			require.Equal(t, tc.want, got.Reason)
			require.Equal(t, tc.member != 0, got.Matched)
			require.Equal(t, uuid.UUID{tc.member}, got.Member)
			require.Equal(t, got.Matched, got.Grade == GradeMatch)
		})
	}
}

// TestNobodyElseIsCalledSo asks for somebody who has moved and has no card: on a roster that tells how common names are, a name
// that nobody else in the country can be expected to have with that birth date is enough.
func TestNobodyElseIsCalledSo(t *testing.T) {
	t.Parallel()
	learned := func(members int64) *Model {
		md := model()
		md.Members = members
		md.Givens = map[uint64]int32{TermHash("zebulon"): 1, TermHash("mary"): int32(members / 50)}
		md.Families = map[uint64]int32{TermHash("quillfeather"): 1, TermHash("smith"): int32(members / 100)}
		return md
	}
	rare, common := pat("Quillfeather", "Zebulon", "male"), pat("Smith", "Mary", "female")
	ask := func(md *Model, p, m Person) Reason { return md.Decide(p, roster(m)).Reason }
	large := learned(100_000)
	require.Equal(t, ReasonMatched, ask(large, rare.moved(), rare))
	require.Equal(t, ReasonUncorroborated, ask(large, common.moved(), common))
	require.Equal(t, ReasonUncorroborated, ask(learned(1000), rare.moved(), rare), "a small roster does not tell")
	require.Equal(t, ReasonUncorroborated, ask(model(), rare.moved(), rare), "nor does none")
	for what, p := range map[string]Person{
		"a slip in the name": pat("Quilfeather", "Zebulon", "male").moved(), "a slip in the birth date": rare.born(1820).moved(), "no gender": pat("Quillfeather", "Zebulon", "").moved(),
	} {
		require.NotEqual(t, ReasonMatched, ask(large, p, rare), what)
	}
	card := pat("Quillfeather", "Zebulon", "male", ID{models.CardMemberID, "K99999999"}).moved()
	require.Equal(t, ReasonIdentifier, ask(large, card, pat("Quillfeather", "Zebulon", "male", member1)), "the card of another")
}

// TestExplain holds an explanation against the decision, and that it tells nothing of the people.
func TestExplain(t *testing.T) {
	t.Parallel()
	d := model().Decide(pat("Quillfeather", "Zebulon", "male", familyID), roster(pat("Quillfeather", "Zebulon", "male", familyID), pat("Quillfeather", "Mary", "female", familyID)))
	require.True(t, d.Matched)
	text := string(d.Explain())
	require.Contains(t, text, `{"field":"birth-date","level":"exact","bits":14.8,"relative":12}`)
	require.Contains(t, text, `{"field":"given-name","level":"conflict"`)
	require.Contains(t, text, `"vetoes":["given-conflict","gender-conflict"]`)
	require.Contains(t, text, `"rival":"twin"`)
	require.NotContains(t, strings.ToLower(text), "quill")
	require.NotContains(t, text, "1819")
	require.NotContains(t, text, familyID.Value)
	nobody := model().Decide(pat("Smith", "Mary", "female"), nil)
	require.JSONEq(t, `{"candidates":0}`, string(nobody.Explain()))
}
