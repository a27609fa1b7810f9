//! The ratios as bars, in SVG.

use std::fmt::Write as _;

/// Of a bar and the space below it.
const ROW: usize = 17;
const LEFT: f64 = 330.0;
const WIDTH: f64 = 460.0;
/// Bars that are longer are cut.
const MOST: f64 = 8.0;
const LEAST: f64 = 0.25;

/// A bar for each `(label, ratio)` from 1, where reiver and the better peer are level, to the ratio:
/// to the right where reiver is ahead. The scale is logarithmic.
pub fn bars(title: &str, ratios: &[(String, f64)]) -> String {
    let x =
        |ratio: f64| LEFT + WIDTH * (ratio.clamp(LEAST, MOST) / LEAST).ln() / (MOST / LEAST).ln();
    let height = ROW * ratios.len() + 60;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 840 {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"840\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">{title}</text>\n"
    );
    for tick in [0.25, 0.5, 1.0, 2.0, 4.0, 8.0] {
        let (at, bottom) = (x(tick), height - 10);
        let color = if tick == 1.0 { "#000" } else { "#ddd" };
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} 44V{bottom}\" stroke=\"{color}\"/>\
             <text x=\"{at:.1}\" y=\"40\" text-anchor=\"middle\">{tick}</text>"
        );
    }
    for (row, (label, ratio)) in ratios.iter().enumerate() {
        let (top, from, to) = (48 + row * ROW, x(ratio.min(1.0)), x(ratio.max(1.0)));
        // As issue 4 has it: a median under 0.97 is slower.
        let color = if *ratio < 0.97 { "#c65" } else { "#4a8" };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{from:.1}\" y=\"{top}\" width=\"{:.1}\" height=\"12\" fill=\"{color}\"/>\
             <text x=\"{:.1}\" y=\"{1}\" font-size=\"10\">{ratio:.2}</text>",
            LEFT - 8.0,
            top + 10,
            label.replace('&', "&amp;").replace('<', "&lt;").replace('`', ""),
            (to - from).max(1.0),
            to + 4.0,
        );
    }
    svg + "</svg>\n"
}
