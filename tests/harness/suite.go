package harness

// SuiteFree are the files that JSONTestSuite leaves free and firn accepts: numbers of any size,
// since their text is kept, and nesting within the limit. What is not listed is refused: text that
// is not UTF-8, half surrogate pairs, a byte order mark.
var SuiteFree = map[string]bool{
	"i_number_double_huge_neg_exp.json":   true,
	"i_number_huge_exp.json":              true,
	"i_number_neg_int_huge_exp.json":      true,
	"i_number_pos_double_huge_exp.json":   true,
	"i_number_real_neg_overflow.json":     true,
	"i_number_real_pos_overflow.json":     true,
	"i_number_real_underflow.json":        true,
	"i_number_too_big_neg_int.json":       true,
	"i_number_too_big_pos_int.json":       true,
	"i_number_very_big_negative_int.json": true,
	"i_structure_500_nested_arrays.json":  true,
}

// SuiteTwice are the files that the suite accepts and firn refuses: a key stands twice in an
// object.
var SuiteTwice = map[string]bool{
	"y_object_duplicated_key.json":           true,
	"y_object_duplicated_key_and_value.json": true,
}

// SuiteAccepts tells whether firn accepts a file of test_parsing.
func SuiteAccepts(name string) bool {
	return name[0] == 'y' && !SuiteTwice[name] || SuiteFree[name]
}
