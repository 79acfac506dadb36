//! Tables as programs and people write them.

use super::*;

const A: [&str; 1] = ["A|file:1|1|2|point_of_interest|-"];

#[test]
fn what_may_stand_before_the_header() {
    for before in [
        "sep=,\n",
        "\"sep=,\"\r\n",
        "SEP=,\n\n",
        "sep=,,,\n",
        " sep=, \n",
        "# exported 2024\n",
        "#\n\n# name, of what\n#, lat\r\n",
        "\n",
        " \r\n\t\n",
        ",,\n",
        "\"\",\" \",\n;;\n",
        "\u{a0}\n\u{a0},\u{3000}\n",
        "\u{feff}sep=,\n",
    ] {
        check(&format!("{before}name,lat,lon\nA,1,2\n"), &A);
        let bad = bad(&format!("{before}name,lat,lon\nA,x,2\n"));
        let line = 2 + before.matches('\n').count();
        assert!(bad.starts_with(&format!("{line}: row 1: latitude")), "{before:?}: {bad}");
    }
    check("\"sep=\t\"\nname\tlat\tlon\nA\t1\t2\n", &A);
    check("#name,lat,lon\nA,1,2\n", &A);
    check("# name;lat;lon\r\nA;1;2\r\n", &A);
    // Where there is one before the header, others are comments, too; and else a name.
    let read = read_all(b"# by us\nname,lat,lon\n# in, degrees, north, east\nA,1,2\n").expect("read");
    assert_eq!((read.places.len(), read.bad, read.skipped["that are comments"]), (1, 0, 1));
    check("name,lat,lon\n#1 Diner,1,2\n", &["#1 Diner|file:1|1|2|point_of_interest|-"]);
    assert!(error("# only\n# comments\n").starts_with("3: there is no row that names the columns"));
    assert!(error("\"sep=;\"\nname,lat,lon\n").starts_with("2: read as semicolon-separated: found 1 column"));
}

#[test]
fn a_quote_behind_a_blank_is_one() {
    check(
        "name, lat, lon, vicinity\n\"A\", 1, 2, \"B, \"\"C\"\"\"\n",
        &["A|file:1|1|2|point_of_interest|B, \"C\""],
    );
    check("lat, lon, \"name\" , \"id\"\r\n1, 2,  \"A, B\" , \"x\"\r\n", &["A, B|x|1|2|point_of_interest|-"]);
    // Not one that closes nowhere: it is a part of the name.
    check("lat,lon,name\n1,2, \"A\n", &["\"A|file:1|1|2|point_of_interest|-"]);
    check("lat,lon,name\n1,2, \"A\" B\n", &["\"A\" B|file:1|1|2|point_of_interest|-"]);
    // Lines and bytes are where they are.
    let read =
        read_all(b"name,lat,lon,d\nA,1,2, \"x\"\n\"B\nC\",1,2, \"y\"\nD,x,2, \"z, z\"\n").expect("read");
    assert_eq!(
        (read.places.len(), &*read.worst),
        (2, &["5: row 3: latitude \"x\" is not a number".to_owned()][..])
    );
}

#[test]
fn a_file_of_one_column_is_not_said_to_be_separated() {
    for text in ["name\nA\nB\n", "no table at all"] {
        let why = error(text);
        assert!(why.starts_with("1: found 1 column, ") && !why.contains("-separated"), "{why}");
        assert!(why.contains("no tab, semicolon, bar or comma is in that line: no column for the "), "{why}");
    }
}

#[test]
fn rows_of_blanks_of_any_kind_are_none() {
    for rest in [
        "\u{1a}",
        "\r\n\u{1a}\r\n",
        "\u{a0}\n\u{a0},\u{a0},\u{2003}\n",
        "\u{feff}\n",
        ",\u{200b},\n",
        "\0\0\0\n",
    ] {
        for text in [
            format!("name,lat,lon\nA,1,2\n{rest}"),
            format!("name\tlat\tlon\nA\t1\t2\n{}", rest.replace(',', "\t")),
        ] {
            check(&text, &A);
            let read = read_all(text.as_bytes()).expect("read");
            assert_eq!((read.total, read.skipped.len()), (1, 0), "{text:?}");
        }
    }
    check("name,lat,lon\nA,1,2\u{1a}", &A);
    check("name,lat,lon\n\u{a0}A\u{a0},\u{a0}1,2\u{a0}\n", &A);
    let feature = feature(r#"{"name":"A"}"#);
    check(&format!("{feature}\n\u{1a}"), &["A|file:1|50|8.25|point_of_interest|-"]);
}
