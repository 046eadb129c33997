// Where things are in the lanes: names on the left, then lanes of one height, each with a place for goals above one for events.

export const GUTTER = 176;

/** The top of a lane on the canvas. */
export function laneTop(lane, view) {
  return lane * view.laneHeight - view.top;
}

/** Where the goals of a lane are (`top`, `height`) and where its events (`middle`): on low lanes one over the other. */
export function placesOf(lane, view) {
  const { laneHeight } = view;
  const y = laneTop(lane, view);
  if (laneHeight < 18)
    return {
      top: y + (laneHeight > 5 ? 1 : 0),
      height: laneHeight - (laneHeight > 5 ? 2 : 0),
      middle: y + laneHeight / 2,
    };
  return { top: y + 3, height: laneHeight - 15, middle: y + laneHeight - 7.5 };
}

export function isInView(lane, view) {
  return lane >= view.first && lane <= view.last;
}
