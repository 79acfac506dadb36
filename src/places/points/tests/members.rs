//! No feature is lost for what nobody asks of it.

use super::*;

#[test]
fn a_property_of_no_use_costs_nothing() {
    let dom = ["Dom|file:1|50|8.25|point_of_interest|-"];
    for odd in [
        r#""height":1e999"#.to_owned(),
        r#""height":-1E400,"name":"A","name":"Dom""#.to_owned(),
        r#""cut":"\ud83d","\ud83d":1"#.to_owned(),
        format!(r#""deep":{}1{}"#, "[".repeat(1_000), "]".repeat(1_000)),
        r#""types":null"#.to_owned(),
        r#""types":[],"type":null,"id":null"#.to_owned(),
        format!(r#""id":"{}""#, "x".repeat(1_001)),
        format!(r#""type":"{}""#, "x".repeat(1_001)),
    ] {
        check(&feature(&format!(r#"{{"name":"Dom",{odd}}}"#)), &dom);
        check(
            &feature(&format!(r#"{{"name":"Dom",{odd}}}"#)).replace("{\"type\"", "{\"more\":1e999,\"type\""),
            &dom,
        );
    }
    // The last of two members counts.
    let doubled = r#"{"type":"x","id":1,"geometry":null,"properties":{"name":"A"},"id":7,
        "properties":{"name":"Dom"},"geometry":{"type":"Point","coordinates":[8.25,50]},"type":"Feature"}"#;
    check(&collection(doubled), &["Dom|7|50|8.25|point_of_interest|-"]);
    check(&feature(r#"{"name":"Dom","types":null,"type":"church"}"#), &["Dom|file:1|50|8.25|church|-"]);
    check(
        &feature(r#"{"name":"Dom","types":[null,{}],"type":["church"]}"#),
        &["Dom|file:1|50|8.25|church|-"],
    );
    check(&feature(r#"{"name":"Caf\ud83d"}"#), &["Caf\u{fffd}|file:1|50|8.25|point_of_interest|-"]);
    let text = format!(
        r#"{{"bbox":[1e999],"type":5,"more":"\ud83d","features":[],"features":[{}]}}"#,
        feature(r#"{"name":"Dom"}"#)
    );
    check(&text, &dom);
}

#[test]
fn a_long_vicinity_is_cut_between_characters_and_told() {
    let long = "語".repeat(1_001);
    let expected = format!("Dom|file:1|50|8.25|point_of_interest|{}", "語".repeat(1_000));
    for text in [
        feature(&format!(r#"{{"name":"Dom","vicinity":"{long}"}}"#)),
        format!("name,lat,lon,vicinity\nDom,50,8.25,{long}\n"),
        format!("name\tlat\tlon\tvicinity\nDom\t50\t8.25\t{long}\n"),
    ] {
        check(&text, &[&expected]);
        let changed = read_all(text.as_bytes()).expect("read").changed;
        assert_eq!(
            changed.into_iter().collect::<Vec<_>>(),
            [("with a vicinity of over 1,000 characters, which was cut", 1)]
        );
    }
}

#[test]
fn a_longitude_goes_on_round_the_earth_and_that_is_told() {
    for (longitude, wrapped) in [
        ("180.5", -179.5),
        ("-180.5", 179.5),
        ("360", 0.0),
        ("-190", 170.0),
        ("180", 180.0),
        ("-180", -180.0),
    ] {
        let point = format!(
            r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[{longitude},50]}},"properties":{{"name":"A"}}}}"#
        );
        for text in [point, format!("name,lat,lon\nA,50,{longitude}\n")] {
            check(&text, &[&format!("A|file:1|50|{wrapped}|point_of_interest|-")]);
            let changed = read_all(text.as_bytes()).expect("read").changed.len();
            assert_eq!(changed, usize::from(!longitude.ends_with("180")), "{text}");
        }
    }
    assert!(bad("name,lat,lon\nA,50,360.5\n").contains("longitude 360.5 is not from -180 to 180"));
}

#[test]
fn more_lists_of_types_than_fit_cost_types_only() {
    let rows: String = (0..65_540).map(|row| format!("A,1,2,t{row}\n")).collect();
    let text = format!("name,lat,lon,type\n{rows}B,1,2,t3\nC,1,2,new\n");
    let mut reading = read_all(text.as_bytes()).expect("read");
    let changed: Vec<_> = std::mem::take(&mut reading.changed).into_iter().collect();
    assert!(matches!(changed[..], [(what, 6)] if what.contains("65,535 lists")), "{changed:?}");
    let places = places(reading);
    assert!(places.contains(&"A|file:65535|1|2|t65534|-".to_owned()));
    assert!(places.contains(&"A|file:65536|1|2|point_of_interest|-".to_owned()));
    assert!(places.contains(&"B|file:65541|1|2|t3|-".to_owned()));
    assert!(places.contains(&"C|file:65542|1|2|point_of_interest|-".to_owned()));
    // As many in two files.
    let half = |from: u32| {
        let rows: String = (from..from + 40_000).map(|row| format!("A,1,2,t{row}\n")).collect();
        read_all(format!("name,lat,lon,type\n{rows}").as_bytes()).expect("read").places
    };
    let mut all = half(0);
    assert_eq!(all.append(half(40_000)), Ok(80_000 - 65_535));
    assert_eq!(all.append(half(0)), Ok(0));
    assert_eq!(all.finish().known(0).types.len(), 1);
}
