//! What must not type-check: each file under `tests/compile_fail/` is a way around the gateway that
//! a future change could open by accident.

#[test]
fn the_ways_around_do_not_compile() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
}
