//! GeoJSON as it is found: sequences with a bad one in them, other encodings, other formats, and what it says of itself.

use super::*;

fn point(name: &str, longitude: f64, latitude: f64) -> String {
    format!(
        r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[{longitude},{latitude}]}},"properties":{{"name":"{name}"}}}}"#
    )
}

#[test]
fn swapped_points_are_told_by_the_bbox_though_some_are_right() {
    let with_bbox = |bbox: &str, points: &[String]| {
        format!(r#"{{"type":"FeatureCollection","bbox":{bbox},"features":[{}]}}"#, points.join(",\n"))
    };
    let right = || point("A", 24.5, 60.5);
    let wrong = || point("A", 60.5, 24.5);
    let why = error(with_bbox("[24,60,25,61]", &[right(), wrong(), wrong()]));
    assert!(why.starts_with("2: feature 2: its point is outside its bbox [24, 60, 25, 61]"), "{why}");
    assert!(why.contains("swapped, it seems, as in 2 of 3 features") && why.contains("take it out"), "{why}");
    // A few are told and kept.
    let few = read_all(with_bbox("[24,60,25,61]", &[right(), right(), wrong()]).as_bytes()).expect("read");
    assert_eq!((few.places.len(), few.bad), (3, 0));
    assert!(few.notes[0].starts_with("3: feature 3: its point is outside its bbox"), "{:?}", few.notes);
    // One that nothing fits, or that can be none, says nothing.
    for bbox in ["[0,0,0,0]", "[60,24,61,95]", "null", "[1]", "\"x\"", "[1e999,1,2,3]"] {
        let read = read_all(with_bbox(bbox, &[wrong(), wrong()]).as_bytes()).expect("read");
        assert_eq!((read.places.len(), read.notes.len()), (2, 0), "{bbox}");
    }
    // A feature's own comes before that of all, and that of one document is none of the next.
    let own = wrong().replace("\"geometry\"", "\"bbox\":[60,24,61,25],\"geometry\"");
    let read = read_all(with_bbox("[24,60,25,61]", &[own.clone(), own]).as_bytes()).expect("read");
    assert_eq!((read.places.len(), read.notes.len()), (2, 0));
    let alone = wrong().replace("\"geometry\"", "\"bbox\":[24,60,25,61],\"geometry\"");
    assert!(error(alone).contains("swapped, it seems"));
    let two = format!("{}\n{}\n{}\n", with_bbox("[24,60,25,61]", &[]), wrong(), wrong());
    assert_eq!(read_all(two.as_bytes()).expect("read").notes, [""; 0]);
}

#[test]
fn of_a_sequence_a_bad_one_costs_itself() {
    let (a, b) = (point("A", 8.0, 50.0), point("B", 8.0, 50.0));
    for (bad, expected) in [
        (a[..60].to_owned(), "3: feature 3: not GeoJSON: EOF while parsing"),
        ("x".to_owned(), "3: feature 3: not GeoJSON: expected value"),
        ("{}".to_owned(), "3: feature 3: an object without a type is no FeatureCollection"),
        ("17".to_owned(), "3: feature 3: not GeoJSON: invalid type: integer `17`, expected an object"),
        (format!("{a},"), "3: feature 3: not GeoJSON: trailing characters"),
        (r#"{"crs":"EPSG:3857","features":[]}"#.to_owned(), "3: feature 3: its coordinates are in EPSG:3857"),
    ] {
        for separator in ["", "\u{1e}"] {
            let lines = [&*a, &b, &bad, &a, &b].map(|line| format!("{separator}{line}\n")).concat();
            let read = read_all(lines.as_bytes()).unwrap_or_else(|why| panic!("{bad}: {why}"));
            assert_eq!((read.places.len(), read.bad, read.total), (4, 1, 5), "{bad}");
            assert!(read.worst[0].starts_with(expected), "{:?}", read.worst);
            let mut reading = read;
            reading.worst.clear();
            assert!(places(reading).contains(&"B|file:5|50|8|point_of_interest|-".to_owned()));
        }
    }
    let broken = ["", "\u{1e}"].map(|separator| {
        let latin = [separator.as_bytes(), &a.replace('A', "Caf\u{1}").into_bytes()[..]].concat();
        let latin: Vec<u8> = latin.iter().map(|byte| if *byte == 1 { 0xe9 } else { *byte }).collect();
        [format!("{separator}{a}\n{separator}{b}\n").as_bytes(), &latin[..], b"\n"].concat()
    });
    for bytes in broken {
        let read = read_all(&bytes).expect("read");
        assert_eq!((read.places.len(), read.bad), (2, 1));
        assert!(
            read.worst[0]
                .starts_with("3: feature 3: not UTF-8: it has the byte 0xe9, which is 'é' in Latin-1")
        );
    }
    // What is no sequence is refused, with the line.
    let cut = collection(&[&*a, &b].join(",\n"));
    assert!(error(&cut[..cut.len() - 2]).starts_with("5: not GeoJSON: EOF"));
}

#[test]
fn a_number_that_is_none_is_null() {
    let a = point("A", 8.0, 50.0)
        .replace("\"name\"", "\"height\":NaN,\"depth\":-Infinity,\"NaN\":\"\\\"NaN\",\"name\"");
    let nowhere =
        r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[NaN,NaN]},"properties":{"name":"B"}}"#;
    for text in [collection(&format!("{a},\n{nowhere}")), format!("{a}\n{nowhere}\n")] {
        let read = read_all(text.as_bytes()).expect("read");
        assert_eq!(read.notes, ["4 values NaN or Infinity, which JSON does not have, read as null"]);
        assert_eq!((read.places.len(), read.bad, read.skipped["without a geometry"]), (1, 0, 1));
    }
}

#[test]
fn an_encoding_that_is_none_is_told_by_name_and_line() {
    let latin = |text: String| text.chars().map(|letter| letter as u8).collect::<Vec<u8>>();
    let why = error(latin(collection(&[point("A", 8.0, 50.0), point("Café", 8.0, 50.0)].join(",\n"))));
    assert_eq!(why, "4: not UTF-8: it has the byte 0xe9, which is 'é' in Latin-1; save the file as UTF-8");
    let why = error(latin("\nStraße;Länge;Breite\nA;1;2\n".to_owned()));
    assert!(why.starts_with("2: read as semicolon-separated: found 3 columns"), "{why}");
    assert!(
        why.ends_with("; not UTF-8: it has the byte 0xdf, which is 'ß' in Latin-1; save the file as UTF-8"),
        "{why}"
    );
    let windows = read_all(b"name,lat,lon\nPete\x92s,1,2\n").expect("read").worst.concat();
    assert!(windows.contains("0x92, which is '’' in Windows-1252"), "{windows}");
    // A column of no use may be called anything.
    let read = read_all(&latin("name;lat;lon;Länge\nA;1;2;3\n".to_owned())).expect("read");
    assert_eq!((read.places.len(), read.bad), (1, 0));
    assert!(
        read.notes[0].starts_with("1: the header is not UTF-8: it has the byte 0xe4"),
        "{:?}",
        read.notes
    );
}

#[test]
fn what_servers_and_scripts_wrap_it_in() {
    let (a, b) = (point("A", 8.0, 50.0), point("B", 8.0, 50.0));
    let both = ["A|file:1|50|8|point_of_interest|-", "B|file:2|50|8|point_of_interest|-"];
    let all = collection(&format!("{a},{b}"));
    for (before, after) in [
        ("callback(", ")"),
        ("/**/ jQuery1.call_2 (\n", "\n);\n"),
        ("var places = ", ";\n"),
        ("window.places=", ""),
        ("\u{feff}$(", " ) ;"),
    ] {
        check(&format!("{before}{all}{after}"), &both);
    }
    assert!(error("callback({\"type\":\n\"Fea").starts_with("2: not GeoJSON"));
    for esri in [
        r#"{"displayFieldName":"","geometryType":"esriGeometryPoint","spatialReference":{"wkid":4326},"features":[]}"#,
        r#"{"features":[{"attributes":{"name":"A"},"geometry":{"x":8,"y":50}}]}"#,
    ] {
        let why = error(esri);
        assert!(why.starts_with("1: this is Esri JSON: ask its server with f=geojson"), "{why}");
    }
}

#[test]
fn degrees_are_known_in_every_form() {
    let a = point("A", 8.0, 50.0);
    for crs in [
        r#""EPSG:4326""#,
        r#"{"type":"name","properties":{"name":"urn:ogc:def:crs:EPSG::4326"}}"#,
        r#"{"type":"EPSG","properties":{"code":4326}}"#,
        "null",
    ] {
        let text = format!(r#"{{"type":"FeatureCollection","crs":{crs},"features":[{a}]}}"#);
        check(&text, &["A|file:1|50|8|point_of_interest|-"]);
    }
    for crs in [r#""EPSG:25832""#, r#"{"type":"EPSG","properties":{"code":3857}}"#] {
        let text = format!(r#"{{"type":"FeatureCollection","crs":{crs},"features":[{a}]}}"#);
        assert!(error(text).starts_with("1: its coordinates are in EPSG:"));
    }
}

#[test]
fn json_that_is_no_geojson_says_what_it_lacks() {
    assert!(
        error(r#"{"error":{"code":400}}"#)
            .contains("an object without a type (\"error\") is no FeatureCollection")
    );
    let list = read_all(br#"[{"name":"A","lat":1,"lon":2}]"#).expect("read");
    assert!(list.hint.is_some_and(|hint| hint.starts_with("no feature has a geometry")));
    let bad = bad(r#"{"geometry":{"type":"Point","coordinates":[1e999,2]},"type":"Feature"}"#);
    assert_eq!(bad, "1: feature 1: its geometry: number out of range");
}
