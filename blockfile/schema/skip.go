package schema

// skipRecord returns the position after a record.
func (d *Decoder) skipRecord(p *recordPlan, b []byte, i int) int {
	if p.except >= 0 {
		d.except = d.except[:0]
		if i = d.exceptions(p, b, i); i < 0 {
			return i
		}
	}
	for f := p.first; f < len(p.fields) && i >= 0; f++ {
		if field := &p.fields[f]; field.role == roleRest {
			i = d.skipRest(b, i)
		} else {
			i = d.skipValue(field.plan, b, i)
		}
	}
	return i
}

func (d *Decoder) skipRest(b []byte, i int) int {
	if i >= len(b) {
		return d.cut(b)
	}
	switch b[i] {
	case 0:
		return i + 1
	case 2:
	default:
		return d.fail(i, "a branch that the union does not have")
	}
	count, i := d.block(b, i+1, false)
	for i >= 0 && count > 0 {
		for ; count > 0 && i >= 0; count-- {
			if _, i = d.text(b, i); i >= 0 {
				_, i = d.text(b, i)
			}
		}
		if i >= 0 {
			count, i = d.block(b, i, false)
		}
	}
	return i
}

func (d *Decoder) skipValue(t *typePlan, b []byte, i int) int {
	kind, i := d.branch(t, b, i)
	if i < 0 {
		return i
	}
	switch kind {
	case branchString, branchJSON:
		_, i = d.text(b, i)
	case branchLong:
		_, i = d.long(b, i)
	case branchDouble:
		if i += 8; i > len(b) {
			return d.cut(b)
		}
	case branchBool:
		if i++; i > len(b) {
			return d.cut(b)
		}
	case branchRecord:
		return d.skipRecord(t.record, b, i)
	case branchArray:
		return d.skipArray(t.elem, b, i)
	}
	return i
}

func (d *Decoder) skipArray(elem *typePlan, b []byte, i int) int {
	count, i := d.block(b, i, elem.empty)
	for i >= 0 && count > 0 {
		if !elem.empty {
			for ; count > 0 && i >= 0; count-- {
				i = d.skipValue(elem, b, i)
			}
		}
		if i >= 0 {
			count, i = d.block(b, i, elem.empty)
		}
	}
	return i
}
