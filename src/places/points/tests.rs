//! Unit tests: what is read of a file of places, row by row.

use super::*;

/// What a file comes to: its places as `name id latitude longitude types vicinity`, or the error.
fn read_all(bytes: &[u8]) -> Result<Reading, String> {
    let mut reading = Reading::of("file");
    read(bytes, &mut reading)?;
    Ok(reading)
}

fn places(reading: Reading) -> Vec<String> {
    let mut builder = reading.places;
    let _ = builder.repeated_ids();
    let pack = builder.finish();
    let mut all: Vec<_> = (0..pack.len())
        .map(|index| {
            let it = pack.known(index);
            let vicinity = it.vicinity.unwrap_or("-");
            let (latitude, longitude) = (it.latitude_deg, it.longitude_deg);
            format!("{}|{}|{latitude}|{longitude}|{}|{vicinity}", it.name, it.id, it.types.join(","))
        })
        .collect();
    all.sort();
    all
}

fn check(text: &str, expected: &[&str]) {
    let reading = read_all(text.as_bytes()).unwrap_or_else(|why| panic!("{text:?}: {why}"));
    assert_eq!(reading.worst, [""; 0], "{text:?}");
    let found = places(reading);
    assert_eq!(found, expected, "{text:?}");
}

fn error(text: impl AsRef<[u8]>) -> String {
    read_all(text.as_ref()).err().expect("an error")
}

/// The one row that is bad.
fn bad(text: &str) -> String {
    let reading = read_all(text.as_bytes()).unwrap_or_else(|why| panic!("{text:?}: {why}"));
    assert_eq!(reading.bad, 1, "{text:?}");
    reading.worst.concat()
}

#[test]
fn tables_of_every_kind() {
    let kiosk = ["Kiosk, old|k1|1.5|-2.25|kiosk,food|By \"X\""];
    check(
        "name,lat,lon,id,types,vicinity\n\"Kiosk, old\",1.5,-2.25,k1,kiosk; food,\"By \"\"X\"\"\"\n",
        &kiosk,
    );
    check(
        "\u{feff}NAME,Latitude,LNG,Id,Types,Vicinity\r\n\"Kiosk, old\",1.5,-2.25,k1,kiosk|food,\"By \"\"X\"\"\"\r\n",
        &kiosk,
    );
    check(
        "extra\tid\tlongitude\tlat\tname\ttypes\tvicinity\n\tk1\t-2.25\t+1.50\t Kiosk, old \tkiosk,food\tBy \"X\"\n",
        &kiosk,
    );
    check(
        "name;lat;lon;id;types;vicinity\r\"Kiosk, old\";1,5;-2,25;k1;kiosk,food;\"By \"\"X\"\"\"\r",
        &kiosk,
    );
    check(
        "sep=;\r\nname;lat;lon;id;types;vicinity\r\nKiosk, old;1,5;-2.25;k1;kiosk,food;By \"X\"\r\n",
        &kiosk,
    );
    check("title|y|x|id|types|vicinity\nKiosk, old|1.5|-2.25|k1|kiosk;food|By \"X\"\n", &kiosk);
    check("lat,lon,Label,TITLE\n1,2,label,title", &["title|file:1|1|2|point_of_interest|-"]);
    // The header tells, whatever the rows hold.
    check("name,lat,lon\na;b\tc,1,2\n", &["a;b\tc|file:1|1|2|point_of_interest|-"]);
}

#[test]
fn what_has_no_id_gets_its_number_and_no_two_have_the_same() {
    check(
        "name,lat,lon\n\nA,1,2\n,,\nB,3,4\n",
        &["A|file:1|1|2|point_of_interest|-", "B|file:2|3|4|point_of_interest|-"],
    );
    check(
        "name,lat,lon,id\nA,1,2,x\nB,3,4,x\nC,5,6,x\n",
        &["A|x|1|2|point_of_interest|-", "B|x~2|3|4|point_of_interest|-", "C|x~3|5|6|point_of_interest|-"],
    );
    let on_one_line = r#"{"type":"FeatureCollection","features":[
        {"type":"Feature","geometry":{"type":"Point","coordinates":[2,1]},"properties":{"name":"A"}},{"type":"Feature","geometry":{"type":"Point","coordinates":[4,3]},"properties":{"name":"B"}}]}"#;
    check(on_one_line, &["A|file:1|1|2|point_of_interest|-", "B|file:2|3|4|point_of_interest|-"]);
}

#[test]
fn in_a_tsv_nothing_is_quoted() {
    let mut text = "name\tlat\tlon\n".to_owned();
    for row in 0..300 {
        let name = if row == 9 || row == 289 { "\"Zum Anker" } else { "Kiosk" };
        text += &format!("{name}\t1\t2\n");
    }
    let reading = read_all(text.as_bytes()).expect("read");
    assert_eq!((reading.places.len(), reading.total, reading.bad), (300, 300, 0));
}

#[test]
fn a_quote_that_is_not_closed_is_told_where_it_began_and_what_it_swallowed_counts() {
    let rows = |quoted: &[usize]| {
        let name = |row| if quoted.contains(&row) { "\"Zum Anker" } else { "Kiosk" };
        let rows = (1..=300).map(|row| format!("{},1,2\n", name(row)));
        format!("name,lat,lon\n{}", rows.collect::<String>())
    };
    let reading = read_all(rows(&[10, 290]).as_bytes()).expect("read");
    // What is between the two quotes is one field.
    assert_eq!((reading.total, reading.bad > 270), (300, true), "{}", reading.bad);
    assert!(
        reading.worst[0].starts_with("11: row 10: a quote that begins in this row"),
        "{:?}",
        reading.worst
    );
    let reading = read_all(rows(&[290]).as_bytes()).expect("read");
    assert_eq!((reading.total, reading.bad, reading.places.len()), (300, 11, 289));
    assert!(reading.worst[0].starts_with("291: row 290: a quote that begins in this row is never closed"));
    // One that is meant stays one.
    check("name,lat,lon\n\"A\nB\",1,2\n", &["A\nB|file:1|1|2|point_of_interest|-"]);
    let long = format!("name,lat,lon,more\nA,1,2,{}\n", "x".repeat(5_000));
    assert_eq!(read_all(long.as_bytes()).map(|reading| reading.places.len()), Ok(1), "a long cell of no use");
    assert!(bad(&format!("name,lat,lon\n{},1,2\n", "x".repeat(1_001))).contains("a text of over 1000"));
}

#[test]
fn bad_rows_say_what_and_where() {
    for (text, expected) in [
        ("name,lat,lon\nA,north,2\n", "2: row 1: latitude \"north\" is not a number"),
        (
            "name,lat,lon\nA,91,2\n",
            "2: row 1: latitude 91 is not from -90 to 90; are latitude and longitude swapped?",
        ),
        ("name,lat,lon\nA,91,99\n", "2: row 1: latitude 91 is not from -90 to 90"),
        ("name,lat,lon\nA,6672000,385000\n", "are these metres of a map?"),
        ("name,lat,lon\nA,1,nan\n", "2: row 1: longitude NaN"),
        ("name,lat,lon\nA,1\n", "2: row 1: longitude \"\" is not a number"),
        ("name,lat,lon\n\nA,x,2\n", "3: row 1: latitude"),
        ("name,lat,lon\r\nA,1,2\r\n\r\nB,x,2\r\n", "4: row 2: latitude"),
        ("name\tlat\tlon\r\nA\t1\t2\r\n\r\nB\tx\t2\r\n", "4: row 2: latitude"),
        ("name,lat,lon\nA,\"1,5\",2\n", "latitude \"1,5\" is not a number"),
    ] {
        assert!(bad(text).contains(expected), "{text:?}: {}", bad(text));
    }
    let latin = read_all(b"name,lat,lon\nCaf\xe9,1,2\n").expect("read");
    assert_eq!(
        latin.worst,
        ["2: row 1: not UTF-8: it has the byte 0xe9, which is 'é' in Latin-1; save the file as UTF-8"]
    );
}

#[test]
fn rows_that_are_none_are_skipped_and_counted() {
    let reading =
        read_all(format!("name,lat,lon,a,b\nA,1,2\nB,,\n ,1,2\n{}", ",,,,\n".repeat(50)).as_bytes());
    let reading = reading.expect("read");
    assert_eq!((reading.places.len(), reading.bad, reading.total), (1, 0, 3));
    let skipped: Vec<_> = reading.skipped.into_iter().collect();
    assert_eq!(skipped, [("without a name", 1), ("without a position", 1)]);
}

#[test]
fn files_that_are_no_table_say_what_was_looked_for_and_what_there_is() {
    assert_eq!(error(""), "1: it is empty");
    assert_eq!(error("\u{feff} \n"), "1: it is empty");
    for (text, expected) in [
        (
            "x",
            "1: found 1 column, \"x\", as no tab, semicolon, bar or comma is in that line: no column for the name: add one named name or title",
        ),
        (
            "name,lat\nA,1\n",
            "1: read as comma-separated: found 2 columns, \"name\", \"lat\": no column for the longitude: add one named lon or lng",
        ),
        (
            "naam;lat;lon\nA;1;2\n",
            "1: read as semicolon-separated: found 3 columns, \"naam\", \"lat\", \"lon\": no column for the name",
        ),
        ("sep=#\nname#lat#lon\n", "sep='#'"),
        ("<kml></kml>", "1: it is XML"),
        ("PK\u{3}\u{4}x", "1: it is a ZIP archive"),
    ] {
        assert!(error(text).contains(expected), "{text:?}: {}", error(text));
    }
    assert!(error(b"\xff\xfen\0a\0m\0e\0").contains("UTF-16"));
    assert!(error(b"n\0a\0m\0e\0,\0l\0a\0t\0").contains("UTF-16"));
    assert!(error(b"\x1f\x8bxx").contains("gzip"));
}

fn collection(features: &str) -> String {
    format!("{{\"type\":\"FeatureCollection\",\n\"features\":[\n{features}\n]}}")
}

fn feature(properties: &str) -> String {
    format!(
        r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[8.25,50,99]}},"properties":{properties}}}"#
    )
}

#[test]
fn features_with_properties_of_every_type() {
    let dom = ["Dom|7|50|8.25|church|Mainz"];
    check(
        &collection(
            r#"{"type":"Feature","id":7,"geometry":{"type":"Point","coordinates":[8.25,50]},
        "properties":{"name":"Dom","types":["church"],"vicinity":"Mainz","more":{"a":1}}}"#,
        ),
        &dom,
    );
    check(&feature(r#"{"NAME":" Dom ","Id":7,"TYPES":"church","Vicinity":"Mainz"}"#), &dom);
    // What is of another type costs the member, not the place.
    for odd in ["true", "null", "[]", "{}"] {
        let name = format!(r#"{{"name":{odd},"title":"Dom","id":{odd},"types":{odd},"vicinity":{odd}}}"#);
        check(&feature(&name), &["Dom|file:1|50|8.25|point_of_interest|-"]);
    }
    check(&feature(r#"{"name":5,"vicinity":55116}"#), &["5|file:1|50|8.25|point_of_interest|55116"]);
    check(&feature(r#"{"label":"L","title":"T"}"#), &["T|file:1|50|8.25|point_of_interest|-"]);
}

#[test]
fn geojson_in_every_wrapping() {
    let (a, b) = (feature(r#"{"name":"A"}"#), feature(r#"{"name":"B"}"#));
    let both = ["A|file:1|50|8.25|point_of_interest|-", "B|file:2|50|8.25|point_of_interest|-"];
    check(&format!("{a}\n{b}\n"), &both);
    check(&format!("\u{1e}{a}\n\u{1e}{b}\n"), &both);
    check(&format!("[{a},{b}]"), &both);
    check(&format!("{}{}", collection(&a), collection(&b)), &both);
    let cut = read_all(format!("\u{1e}{a}\n\u{1e}{}\n\u{1e}{b}\n", &b[..40]).as_bytes()).expect("read");
    assert_eq!((cut.places.len(), cut.bad), (2, 1));
    assert!(cut.worst[0].starts_with("2: feature 2: not GeoJSON"), "{:?}", cut.worst);
}

#[test]
fn features_without_a_place_are_skipped_and_bad_ones_told() {
    let nameless = r#"{"geometry":{"type":"Point","coordinates":[8,50]},"properties":{"Naam":"A","x":1}}"#;
    let reading = read_all(collection(nameless).as_bytes()).expect("read");
    assert_eq!((reading.total, reading.bad, reading.skipped["without a name"]), (1, 0, 1));
    let hint = "no property name or title or label with a text in it; it has \"Naam\", \"x\"";
    assert_eq!(reading.hint.as_deref(), Some(hint));
    let null = r#"{"type":"Feature","geometry":null,"properties":{"name":"A"}}"#;
    let empty =
        r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[]},"properties":{"name":"A"}}"#;
    let reading =
        read_all(collection(&[null, empty, r#"{"properties":{}}"#].join(",")).as_bytes()).expect("read");
    assert_eq!((reading.total, reading.bad, reading.skipped["without a geometry"]), (3, 0, 3));
    for (feature, expected) in [
        (
            r#"{"geometry":{"type":"Circle"},"properties":{"name":"A"}}"#,
            "feature 1: its geometry is a \"Circle\"",
        ),
        (r#"{"geometry":{"type":"Point","coordinates":["8",50]}}"#, "not two numbers"),
        (
            r#"{"geometry":{"type":"Point","coordinates":[50,95]},"properties":{"name":"A"}}"#,
            "latitude 95 is not from -90 to 90; are latitude and longitude swapped?",
        ),
        ("17", "invalid type"),
        (r#"{"type":"Point","coordinates":[1,2]}"#, "a \"Point\" is no Feature"),
    ] {
        let text = collection(&format!("{feature},\n\n{feature}"));
        let reading = read_all(text.as_bytes()).expect("read");
        assert_eq!(reading.bad, 2, "{feature}");
        assert!(
            reading.worst[0].starts_with("3: feature 1: ") && reading.worst[1].starts_with("5: feature 2: ")
        );
        assert!(reading.worst[0].contains(expected), "{feature}: {}", reading.worst[0]);
    }
    for (text, expected) in [
        ("{\n\"type\":\"Feature", "2: not GeoJSON"),
        ("{\"type\":\"Point\",\"coordinates\":[1,2]}", "1: a Point is no FeatureCollection"),
        (
            r#"{"type":"FeatureCollection","bbox":[24,60,25,61],"features":[
            {"type":"Feature","geometry":{"type":"Point","coordinates":[60.2,24.5]},"properties":{"name":"A"}}]}"#,
            "2: feature 1: its point is outside its bbox [24, 60, 25, 61], and would be inside when swapped: latitude and longitude",
        ),
        ("{}", "1: an object without a type"),
        ("{\"type\":\"Topology\"}", "TopoJSON"),
        ("{\"version\":0.6,\"elements\":[]}", "Overpass"),
        (
            r#"{"type":"FeatureCollection","crs":{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::3857"}},"features":[]}"#,
            "its coordinates are in urn:ogc:def:crs:EPSG::3857",
        ),
    ] {
        assert!(error(text).contains(expected), "{}", error(text));
    }
}

#[test]
fn quotes_that_swallow_a_few_rows_or_the_header_are_told() {
    let rows = |text: &dyn Fn(u32) -> String| (1..=300).map(text).collect::<String>();
    let near =
        |row| if row == 10 || row == 25 { "\"Zum Anker,1,2\n".to_owned() } else { "Kiosk,1,2\n".to_owned() };
    let reading = read_all(format!("name,lat,lon\n{}", rows(&near)).as_bytes()).expect("read");
    assert_eq!((reading.total, reading.bad), (300, 16), "{:?}", reading.worst);
    let last = |row| format!("A,1,2,{}\n", if row % 2 == 0 { "\"12 inch" } else { "x" });
    let reading = read_all(format!("name,lat,lon,d\n{}", rows(&last)).as_bytes()).expect("read");
    assert!(reading.bad > 140, "{}", reading.bad);
    let plain = |_| "Kiosk,1,2\n".to_owned();
    for end in ["", "Z,1,2,\"x\"\nA,1,2,x\n"] {
        let why = error(format!("name,lat,lon,\"note\n{}{end}", rows(&plain)));
        assert!(why.starts_with("1: a quote that begins in the header"), "{why}");
    }
    check("name,lat,lon,\"a\nnote\"\nA,1,2,x\n", &["A|file:1|1|2|point_of_interest|-"]);
    let text = "x".repeat(400);
    let wide = format!("name,lat,lon,d\nA,1,2,\"{text}\n{text}\"\n");
    check(&wide, &["A|file:1|1|2|point_of_interest|-"]);
    check(&wide.replace('x', "語"), &["A|file:1|1|2|point_of_interest|-"]);
}

#[test]
fn more_cells_than_the_header_has_are_no_place() {
    assert!(
        bad("name,lat,lon\nKiosk, 24,60.17,24.94\n").contains("2: row 1: it has 4 cells, and the header 3")
    );
    assert!(bad("name,lat,lon\nB,60,17,24,94\n").contains("decimals with a point"));
    check("name,lat,lon\nB,60,24,,\n", &["B|file:1|60|24|point_of_interest|-"]);
}

#[test]
fn an_id_that_is_made_is_nobody_elses() {
    check(
        "name,lat,lon,id\nA,1,2,x~2\nB,1,2,x\nC,1,2,x\nD,1,2,x\n",
        &[
            "A|x~2|1|2|point_of_interest|-",
            "B|x|1|2|point_of_interest|-",
            "C|x~3|1|2|point_of_interest|-",
            "D|x~4|1|2|point_of_interest|-",
        ],
    );
}

#[test]
fn what_is_blank_in_one_column_may_be_in_the_next() {
    let one = ["Kiosk|file:1|1|2|point_of_interest|-"];
    check("name,title,lat,lon\n,Kiosk,1,2\n", &one);
    check("name,lat,lon,latitude,longitude\nKiosk,,,1,2\n", &one);
    let reading = read_all(b"name,lat,lon\nA,NULL,NULL\nB,nan,NaN\nC,1,2\n").expect("read");
    assert_eq!((reading.bad, reading.skipped["without a position"]), (0, 2));
    let empty = r#"null,{"type":"Feature","geometry":{},"properties":{"name":"A"}},
        {"type":"Feature","geometry":{"type":"Point","coordinates":[null,null]},"properties":{"name":"A"}}"#;
    let reading = read_all(collection(empty).as_bytes()).expect("read");
    assert_eq!((reading.bad, reading.skipped["without a geometry"]), (0, 3));
    for name in ["urn:ogc:def:crs:EPSG::4269", "urn:ogc:def:crs:ogc:1.3:crs84", "WGS84"] {
        let feature = feature(r#"{"name":"A"}"#);
        let text = format!(r#"{{"crs":{{"properties":{{"name":"{name}"}}}},"features":[{feature}]}}"#);
        check(&text, &["A|file:1|50|8.25|point_of_interest|-"]);
    }
}

mod documents;
mod members;
mod tables;
